"""Each value of BAD_INPUT: counted as written, or quarantined with its column and reason.

Every case goes through `validate`, through `decode_readings` between good neighbours, and
through the slow oracle; the three must agree.
"""

from collections.abc import Callable
from fractions import Fraction

import pytest

from contract.decimals import canonical, nearest_float
from contract.decoding import Reading, decode_readings, validate
from contract.device_totals import PartTotals, fold
from contract.errors import InvalidReading
from tests import oracle
from tests.values import GOOD, value_of

GOOD_VALUE = value_of()


def accepted(value: bytes) -> Reading:
    reading = validate(value)
    found, rejected = decode_readings([GOOD_VALUE, value, GOOD_VALUE])
    assert (found[1], len(found), rejected) == (reading, 3, [])
    verdict = oracle.judge(value)
    assert verdict is not None
    assert verdict == (
        reading.timestamp,
        reading.device_id,
        Fraction(reading.energy_consumed),
        reading.location,
    )
    return reading


def refused(value: bytes | None) -> InvalidReading:
    with pytest.raises(InvalidReading) as caught:
        validate(value)
    found, rejected = decode_readings([GOOD_VALUE, value, GOOD_VALUE])
    assert len(found) == 2
    assert [(place, error.args) for place, error in rejected] == [(1, caught.value.args)]
    assert oracle.judge(value) is None
    return caught.value


def refused_whole(value: bytes | None) -> str:
    (fault,) = refused(value).faults
    assert fault.column == ""
    return fault.reason


def refused_column(value: bytes, column: str) -> str:
    (fault,) = refused(value).faults
    assert fault.column == column
    return fault.reason


def energy(text: str) -> bytes:
    return value_of(energy_consumed=text)


def device(text: str) -> bytes:
    return value_of(device_id=f'"{text}"')


def timestamp(text: str) -> bytes:
    return value_of(timestamp=f'"{text}"')


def test_k1_an_empty_value_is_refused():
    assert refused_whole(b"") == "empty"
    assert refused_whole(b" \r\n\t") == "empty"


def test_k2_null_is_refused():
    assert refused_whole(None) == "null"


@pytest.mark.parametrize("length", range(1, len(GOOD_VALUE)))
def test_k7_a_cut_off_value_is_refused(length: int):
    assert refused_whole(GOOD_VALUE[:length]).startswith("not JSON")


def test_k8_bytes_that_are_not_utf8_are_refused_with_their_place():
    assert refused_whole(b"\xff\xfe") == "not UTF-8 at byte 0"


def test_k10_utf16_is_refused():
    refused_whole(GOOD_VALUE.decode().encode("utf-16"))
    refused_whole(GOOD_VALUE.decode().encode("utf-16-le"))


def test_k11_gzip_bytes_are_refused():
    refused_whole(bytes.fromhex("1f8b08000000000000ff") + GOOD_VALUE)


def test_k12_two_objects_are_refused():
    refused_whole(GOOD_VALUE + GOOD_VALUE)
    refused_whole(GOOD_VALUE + b"\n" + GOOD_VALUE)


@pytest.mark.parametrize("tail", [b"\0", b"x", b"}", b",", b"\xc2\xa0", b"\x0b"])
def test_k13_garbage_after_the_object_is_refused(tail: bytes):
    refused_whole(GOOD_VALUE + tail)


@pytest.mark.parametrize(
    "value",
    [
        GOOD_VALUE[:-1] + b",}",
        b"/* */" + GOOD_VALUE,
        GOOD_VALUE + b"// end",
        GOOD_VALUE.replace(b'"', b"'"),
        GOOD_VALUE.replace(b'"location"', b"location"),
        GOOD_VALUE.replace(b", ", b" "),
        GOOD_VALUE.replace(b": ", b" "),
        value_of(location='"a\tb"'),
    ],
)
def test_k14_what_is_almost_json_is_refused(value: bytes):
    refused_whole(value)


MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("value", "byte"),
    [
        (MARK + GOOD_VALUE, 0),
        (b" \n" + MARK + GOOD_VALUE, 2),
        (GOOD_VALUE + MARK, len(GOOD_VALUE)),
        (GOOD_VALUE[:1] + MARK + GOOD_VALUE[1:], 1),
        (MARK, 0),
    ],
)
def test_k9_a_byte_order_mark_is_refused_by_its_name(value: bytes, byte: int):
    assert refused_whole(value) == f"not JSON: byte order mark (byte {byte})"


def test_k9_a_byte_order_mark_in_a_text_is_a_character():
    assert accepted(value_of(location='"\ufeffa"')).location == "\ufeffa"
    assert "byte order mark" in refused_column(
        value_of(timestamp='"\ufeff2025-04-30 10:11:21"'), "timestamp"
    )


@pytest.mark.parametrize(
    ("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["arrays", "objects"]
)
def test_k15_sixty_four_levels_are_accepted_and_sixty_five_refused(opening: str, closing: str):
    def nested(levels: int) -> bytes:
        return value_of('"x": ' + opening * levels + "1" + closing * levels)

    accepted(nested(63))
    assert refused_whole(nested(64)) == "nested deeper than 64 levels"


def test_k15_many_brackets_that_do_not_nest_are_accepted():
    accepted(value_of('"x": [' + "[]," * 1000 + "[]]", '"y": "' + "[{" * 100 + '\\""'))


@pytest.mark.parametrize("value", [b"[" * 100_000, b"[" * 60_000, b'{"x":' + b"[" * 60_000])
def test_k15_a_flood_of_open_brackets_is_refused(value: bytes):
    refused_whole(value)


def test_k16_a_megabyte_of_digits_is_refused():
    assert refused_whole(energy("9" * 1_000_000)) == "more than 65536 bytes"


def test_k73_a_value_of_64_kib_is_accepted_and_one_more_byte_refused():
    fill = 65_536 - len(value_of('"x": ""'))
    accepted(value_of('"x": "' + "a" * fill + '"'))
    accepted(GOOD_VALUE + b" " * (65_536 - len(GOOD_VALUE)))
    assert refused_whole(value_of('"x": "' + "a" * fill + 'a"')) == "more than 65536 bytes"


def test_k17_k19_a_huge_number_is_refused_as_energy_and_passed_over_elsewhere():
    assert refused_column(energy("9" * 5000), "energy_consumed") == "more than 64 characters"
    assert refused_column(energy("1e999"), "energy_consumed") == "beyond the range of a Float64"
    accepted(value_of('"x": ' + "9" * 5000))
    accepted(value_of('"x": [1e999, -1e-999]'))


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_k18_nan_and_infinity_are_refused_anywhere(constant: str):
    refused_whole(energy(constant))
    refused_whole(value_of(f'"x": {constant}'))
    refused_whole(value_of(f'"x": [{{"y": {constant}}}]'))


def test_k20_a_sum_beyond_float64_is_exact_and_has_no_nearest_float():
    totals: PartTotals = {}
    fold([accepted(energy("1e308")), accepted(energy("1e308"))], totals)
    total, readings = totals["device_7"]
    assert (canonical(total), readings) == ("2" + "0" * 308, 2)
    assert nearest_float(total) is None


@pytest.mark.parametrize(
    ("text", "canonical_text"),
    [
        ("-0.0", "0"),
        ("-0", "0"),
        ("0e-999999999", "0"),
        ("0E+99999999999999999999", "0"),
        ("5e-324", "0." + "0" * 323 + "5"),
    ],
)
def test_k21_zeros_and_the_smallest_float_are_accepted(text: str, canonical_text: str):
    assert canonical(accepted(energy(text)).energy_consumed) == canonical_text


@pytest.mark.parametrize("text", ["1e-400", "-1e-324", '"2e-324"', "0.1e-99999999999999999999"])
def test_k21_what_rounds_to_zero_is_refused(text: str):
    assert refused_column(energy(text), "energy_consumed") == "rounds to 0 as a Float64"


FORTY = "0.1234567890123456789012345678901234567891"


@pytest.mark.parametrize(
    ("text", "canonical_text"),
    [
        (FORTY, FORTY),
        ("9007199254740993", "9007199254740993"),
        ("18446744073709551616", "18446744073709551616"),
        ("1180591620717411303424", "1180591620717411303424"),
        ("-12.50", "-12.5"),
        ("0", "0"),
        ("0.00", "0"),
        ("1e3", "1000"),
    ],
)
def test_k22_k26_k27_k28_k29_numbers_stay_as_written(text: str, canonical_text: str):
    assert canonical(accepted(energy(text)).energy_consumed) == canonical_text


@pytest.mark.parametrize(
    ("text", "number"),
    [('"0.75"', "0.75"), ('"-5"', "-5"), ('"1E+3"', "1000"), (r'"\u0031"', "1")],
)
def test_k23_a_number_in_a_string_is_accepted(text: str, number: str):
    assert canonical(accepted(energy(text)).energy_consumed) == number


@pytest.mark.parametrize(
    "text",
    [
        "nan",
        "NaN",
        "inf",
        "Infinity",
        "1_000",
        "1_0",
        "\uff11\uff12",
        "\uff14",
        "0x10",
        "+1",
        ".5",
        "1.",
        "01",
        "-01",
        "-.5",
        "1e",
        "1e+",
        "-",
        "--",
        "1,5",
        "\u00b2",
        "",
        " 1",
        "1 ",
        "1\\n",
        "\\u0661",
    ],
)
def test_k24_a_string_that_is_no_number_of_json_is_refused(text: str):
    reason = refused_column(energy(f'"{text}"'), "energy_consumed")
    assert reason == "not a number by JSON's grammar"


@pytest.mark.parametrize("text", ["+1", ".5", "1.", "01", "1_000", "0x10", "1e", "-", "TRUE"])
def test_k24_a_bare_number_outside_the_grammar_is_refused(text: str):
    refused_whole(energy(text))


@pytest.mark.parametrize("text", ["true", "false", "null", "[]", "{}", "[1]", '{"a": 1}'])
def test_k25_energy_that_is_no_number_is_refused_as_received(text: str):
    error = refused(energy(text))
    assert error.faults == (("energy_consumed", "not a number"),)
    assert error.received == {
        "timestamp": "2025-04-30 10:11:21",
        "device_id": "device_7",
        "energy_consumed": None if text == "null" else text,
        "location": "Living Room",
    }


@pytest.mark.parametrize("pattern", ["{}", '"{}"'], ids=["bare", "string"])
def test_k30_sixty_four_characters_are_accepted_and_sixty_five_refused(pattern: str):
    for text in ("9" * 64, "-" + "9" * 63, "0." + "1" * 62, "0." + "0" * 62, "1e" + "0" * 62):
        accepted(energy(pattern.format(text)))
    for text in ("9" * 65, "-" + "9" * 64, "0." + "1" * 63, "0." + "0" * 63, "1e" + "0" * 63):
        reason = refused_column(energy(pattern.format(text)), "energy_consumed")
        assert reason == "more than 64 characters"


def test_k30_a_long_number_is_found_in_a_value_with_no_spaces():
    frame = GOOD_VALUE.replace(b": ", b":").replace(b", ", b",").replace(b"Living Room", b"")
    for digits in range(60, 70):
        value = frame.replace(b"3106278102", b"0." + b"1" * digits).replace(b"device_7", b"d")
        (accepted if digits <= 62 else refused)(value)


def test_k30_the_largest_float_is_accepted_and_the_next_refused():
    assert accepted(energy("1.7976931348623158e308"))
    refused_column(energy("1.7976931348623159e308"), "energy_consumed")
    refused_column(energy("-1.7976931348623159e308"), "energy_consumed")


def test_k31_last_of_a_doubled_name_counts():
    assert accepted(value_of('"device_id": "b"')).device_id == "b"
    assert accepted(value_of(r'"device\u005fid": "b"')).device_id == "b"
    assert accepted(value_of('"device_id": "b"', device_id="5")).device_id == "b"
    assert accepted(value_of('"energy_consumed": 2', energy_consumed="true")).energy_consumed == 2
    assert accepted(value_of('"location": ""', location="null")).location == ""
    assert accepted(value_of('"timestamp": "2025-05-01T00:00:00Z"', timestamp="[{}]"))


def test_k32_a_bad_last_of_a_doubled_name_is_refused():
    refused_column(value_of('"device_id": ""'), "device_id")
    refused_column(value_of('"device_id": 5'), "device_id")
    refused_column(value_of(r'"device\u005fid": null'), "device_id")
    refused_column(value_of('"energy_consumed": "x"'), "energy_consumed")


def test_k33_unknown_fields_are_passed_over():
    accepted(value_of('"x": null', '"": {"y": [1, "\\u00e9", -0.5e+7]}', '"Device_id": 1'))


@pytest.mark.parametrize("column", GOOD)
def test_k34_each_missing_field_is_named(column: str):
    assert refused_column(value_of(**{column: None}), column) == "missing"


def test_k34_all_faults_of_a_value_are_named():
    error = refused(b'{"bad": 1}')
    assert error.faults == tuple((column, "missing") for column in GOOD)
    assert error.received == dict.fromkeys(GOOD)
    assert str(error).startswith("timestamp: missing; device_id: missing")


def test_k35_names_of_fields_have_one_spelling():
    assert refused_column(value_of('"Device_id": "a"', device_id=None), "device_id") == "missing"


@pytest.mark.parametrize("text", [" ", "a ", "a" * 256, "é" * 128, "€" * 85 + "a"])
def test_k36_a_device_id_is_taken_as_it_is(text: str):
    assert accepted(device(text)).device_id == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("a" * 257, "more than 256 bytes"),
        ("€" * 86, "more than 256 bytes"),
        ("é" * 129, "more than 256 bytes"),
    ],
)
def test_k36_a_device_id_of_a_wrong_length_is_refused(text: str, reason: str):
    assert refused_column(device(text), "device_id") == reason


@pytest.mark.parametrize("text", ["\u202e", "a\u200b", "\u2028", "\u00a0", "\ufeff", "\U000e0001"])
def test_k37_odd_characters_are_taken_as_they_are(text: str):
    assert accepted(device(text)).device_id == text


@pytest.mark.parametrize("text", [r"\u0000", r"a\n", "\x7f", "\u0085", r"\u009f", r"\u001f"])
def test_k37_control_characters_are_refused(text: str):
    assert refused_column(device(text), "device_id") == "has a control character"


@pytest.mark.parametrize(
    "text",
    ["../../etc", "a/b", "a,b", "${jndi:x}", "=1+1", "\u00e9", "e\u0301", "__proto__", "%00"],
)
def test_k38_k39_k40_a_device_id_is_never_interpreted(text: str):
    assert accepted(device(text)).device_id == text


def test_k40_the_name_of_a_frameworks_marker_is_refused():
    refused_column(device(r"__faust\u0000offset__"), "device_id")


@pytest.mark.parametrize(
    "text", [r"\ud800", r"\udfff", r"\ud800\ud800", r"\ud800x", r"\udc00\ud800", r"\ud800\n"]
)
def test_k41_half_a_surrogate_pair_is_refused_everywhere(text: str):
    refused_whole(device(text))
    refused_whole(value_of(location=f'"{text}"'))
    refused_whole(value_of(f'"x": ["{text}"]'))
    refused_whole(value_of(f'"{text}": 1'))
    refused_whole(value_of('"device_id": "b"', device_id=f'"{text}"'))


def test_k41_what_only_looks_like_a_surrogate_is_accepted():
    assert accepted(device(r"\ud83d\ude00")).device_id == "\U0001f600"
    assert accepted(device(r"\\ud800")).device_id == r"\ud800"


@pytest.mark.parametrize(
    "raw", [b"\xc0\x80", b"\xed\xa0\x80", b"\xff", b"\xf5\x80\x80\x80", b"\xc3"]
)
def test_k42_bytes_that_are_not_utf8_are_refused_everywhere(raw: bytes):
    for value in (device("?"), value_of(location='"?"'), value_of('"x": "?"'), value_of('"?": 1')):
        assert refused_whole(value.replace(b"?", raw)).startswith("not UTF-8 at byte ")


@pytest.mark.parametrize("text", ["7", "[]", "null", "true", '{"id": "a"}', "1e999"])
def test_k43_a_device_id_that_is_no_string_is_refused(text: str):
    error = refused(value_of(device_id=text))
    assert error.faults == (("device_id", "not a string"),)
    assert error.received["device_id"] == (None if text == "null" else text)


@pytest.mark.parametrize("text", ["1745999481", "1745999481.5", "null", "[2025]"])
def test_k46_a_timestamp_that_is_no_string_is_refused(text: str):
    assert refused_column(value_of(timestamp=text), "timestamp") == "not a string"


@pytest.mark.parametrize("text", ["1745999481", "", "2025-04-30", "now"])
def test_k46_a_string_that_is_no_timestamp_is_refused(text: str):
    assert refused_column(timestamp(text), "timestamp").startswith("not YYYY-MM-DD hh:mm:ss")


@pytest.mark.parametrize(
    "text",
    [
        "2025-04-30T10:11:21",
        "2025-04-30T10:11:21Z",
        "2025-04-30 10:11:21+02:00",
        "2025-04-30 10:11:21-18:00",
        "2025-04-30 10:11:21.1",
        "2025-04-30 10:11:21.123456789+00:00",
        "1970-01-01 00:00:00",
        "2105-12-31 23:59:59.999999999",
        "1969-12-31 23:00:00-01:00",
        "1969-12-31 06:00:00-18:00",
        "2106-01-01 17:59:59+18:00",
        "2024-02-29 23:59:59",
        "2000-02-29 00:00:00",
    ],
)
def test_k44_k48_k49_k50_a_timestamp_is_taken_as_it_is(text: str):
    assert accepted(timestamp(text)).timestamp == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2025-02-30 00:00:00", "not a real date and time"),
        ("2025-02-29 00:00:00", "not a real date and time"),
        ("2100-02-29 00:00:00", "not a real date and time"),
        ("2025-13-01 00:00:00", "not a real date and time"),
        ("2025-00-01 00:00:00", "not a real date and time"),
        ("2025-01-00 00:00:00", "not a real date and time"),
        ("0000-01-01 00:00:00", "not a real date and time"),
        ("2025-01-01 24:00:00", "not a real date and time"),
        ("2025-01-01 23:60:00", "not a real date and time"),
        ("2025-01-01 23:59:60", "not a real date and time"),
        ("1969-12-31 23:59:59", "outside 1970-2105"),
        ("2106-01-01 00:00:00", "outside 1970-2105"),
        ("1970-01-01 00:59:59+01:00", "outside 1970-2105"),
        ("2105-12-31 23:00:00-01:00", "outside 1970-2105"),
        ("0001-01-01 00:00:00+18:00", "outside 1970-2105"),
        ("9999-12-31 23:59:59-18:00", "outside 1970-2105"),
        ("2025-01-01 00:00:00+18:01", "offset is over 18:00"),
        ("2025-01-01 00:00:00-99:00", "offset is over 18:00"),
        ("2025-01-01 00:00:00+01:60", "offset is not a real one"),
    ],
)
def test_k45_k47_a_time_that_is_not_real_or_out_of_range_is_refused(text: str, reason: str):
    assert refused_column(timestamp(text), "timestamp") == reason


@pytest.mark.parametrize(
    "text",
    [
        "2025-W18-3",
        "2025-W18-3 00:00:00",
        "20250430 101121",
        "2025-04-30 10:11",
        "2025-04-30 10:11:21z",
        "2025-04-30t10:11:21",
        "2025-04-30_10:11:21",
        "2025-04-30  10:11:21",
        "2025-04-30 10:11:21.",
        "2025-04-30 10:11:21.1234567890",
        "2025-04-30 10:11:21,5",
        "2025-04-30 10:11:21+2:00",
        "2025-04-30 10:11:21+0200",
        "2025-04-30 10:11:21+02",
        "2025-04-30 10:11:21 Z",
        "2025-04-30 10:11:21ZZ",
        " 2025-04-30 10:11:21",
        "2025-04-30 10:11:21\\n",
        "٢٠٢٥-04-30 10:11:21",
        "-025-04-30 10:11:21",
    ],
)
def test_k47_another_form_of_timestamp_is_refused(text: str):
    assert refused_column(timestamp(text), "timestamp").startswith("not YYYY-MM-DD hh:mm:ss")


def test_k54_k55_k56_a_resend_is_a_reading():
    totals: PartTotals = {}
    fold(decode_readings([energy("1.5")] * 2 + [energy("2")])[0], totals)
    assert canonical(totals["device_7"][0]) == "5"
    assert totals["device_7"][1] == 3


def test_k72_a_bad_record_between_good_ones_costs_only_itself():
    found, rejected = decode_readings([energy("1"), energy("x"), energy("2")])
    assert [reading.energy_consumed for reading in found] == [1, 2]
    assert [place for place, _ in rejected] == [1]


@pytest.mark.parametrize("text", ["", "a" * 256, "€" * 85, r"a\nb", r"\u0000"])
def test_k74_a_location_may_be_nearly_anything(text: str):
    accepted(value_of(location=f'"{text}"'))


def test_k75_spacing_is_free():
    accepted(GOOD_VALUE.replace(b", ", b" ,\r\n\t").replace(b": ", b" \n:\t"))
    accepted(b"\r\n \t" + GOOD_VALUE + b"\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('"' + "a" * 257 + '"', "more than 256 bytes"),
        ('"' + "€" * 86 + '"', "more than 256 bytes"),
        ("null", "not a string"),
        ("5", "not a string"),
    ],
)
def test_k76_a_bad_location_is_refused(text: str, reason: str):
    assert refused_column(value_of(location=text), "location") == reason


@pytest.mark.parametrize("value", [b"[" + GOOD_VALUE + b"]", b"5", b"null", b'"a"', b"true", b"[]"])
def test_k76_what_is_no_object_is_refused(value: bytes):
    assert refused_whole(value) == "not a JSON object"


def test_k79_two_broken_records_do_not_make_two_readings():
    first, second = GOOD_VALUE + b',{"x":[{}', b"{}]," + GOOD_VALUE[1:]
    found, rejected = decode_readings([first, second])
    assert (found, [place for place, _ in rejected]) == ([], [0, 1])
    refused_whole(first)
    refused_whole(second)


@pytest.mark.parametrize("calls", [0, 300, 700])
def test_k80_the_depth_of_the_callers_stack_changes_no_verdict(calls: int):
    def below(calls: int, judge: Callable[[], None]) -> None:
        if calls:
            below(calls - 1, judge)
        else:
            judge()

    def judge() -> None:
        validate(value_of('"x": ' + "[" * 63 + "]" * 63))
        with pytest.raises(InvalidReading, match="nested deeper than 64 levels"):
            validate(value_of('"x": ' + "[" * 64 + "]" * 64))

    below(calls, judge)
