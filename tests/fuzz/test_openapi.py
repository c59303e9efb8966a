"""Generated requests for all that the API says of itself, each answer held against it.

FUZZ_CASES sets how many (`make fuzz CASES=50000`). All checks of schemathesis: no 5xx but the
documented ones, status, headers, content type and body as described, what is wrong refused and
what is right accepted, no route without its token, no method that is not there.
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.parameters import ParameterLocation

from tests.fuzz.running import RunningServer

load_all_checks()
positive_data_acceptance, negative_data_rejection = (
    CHECKS.get_by_names([name])[0]
    for name in ("positive_data_acceptance", "negative_data_rejection")
)
FORM_FIELDS = {
    *("device_id", "location", "start", "end", "timezone", "order_by", "limit", "offset"),
    *("exact", "interval", "group_by", "fill"),
}
CASES = int(os.environ.get("FUZZ_CASES", "2000"))


@pytest.mark.timeout(60 + CASES // 20)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_what_the_api_says_of_itself(
    server: RunningServer, mode: GenerationMode
) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    described = httpx.get(f"{server.url}/v0/pipes/openapi.json", headers=headers).json()
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=server.url)
    operations = [each.ok() for each in schema.get_all_operations()]
    assert len(operations) >= len(described["paths"])
    # An answer without an end cannot be held against anything: test_event_stream.py reads it.
    operations = [each for each in operations if not each.path.endswith("/stream")]
    varied = [each for each in operations if list(each.iter_parameters()) or list(each.body)]
    seen = 0
    for operation in varied if mode is GenerationMode.NEGATIVE else operations:

        @settings(
            max_examples=max(2, CASES // 2 // len(varied)),
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
            derandomize=CASES <= 2_000,
            database=None,
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: schemathesis.Case) -> None:
            nonlocal seen
            seen += 1
            answer = case.call(headers=headers)
            # Neither that a key was used with another body is anything a schema can say, nor what
            # the text of a file must be.
            is_file = case.method == "POST" and "datasources" in case.path
            is_unsaid = answer.status_code == 422 or (
                answer.status_code == 400 and (is_file or is_wrong_in_time(answer.text))
            )
            passed_over = [positive_data_acceptance] if is_unsaid else []
            if is_form_without_its_fault(answer.request) or (is_file and is_wrong_by_body(case)):
                passed_over.append(negative_data_rejection)
            case.validate_response(answer, excluded_checks=passed_over, headers=headers)

        holds()
    print(f"{mode.value}: {seen} cases, {len(operations)} operations")
    assert seen >= 0.8 * CASES // 2


def is_wrong_in_time(text: str) -> bool:
    """Whether an error is of a moment, a zone or a period: what is a real one no schema can say."""
    error = json.loads(text)["error"]
    return error.startswith(
        ("parameter start: ", "parameter end: ", "parameter timezone: ", "parameter fill: ")
    )


def is_wrong_by_body(case: schemathesis.Case) -> bool:
    """Whether its text alone makes a file wrong: of any type, once sent all is text.

    A wrong header counts no more: the token is ours.
    """
    wrong = {
        location
        for location, component in case.meta.components.items()
        if component.mode is GenerationMode.NEGATIVE
    }
    return ParameterLocation.BODY in wrong <= {ParameterLocation.BODY, ParameterLocation.HEADER}


def is_form_without_its_fault(request: Any) -> bool:
    """Whether a form that is wrong by a further field has lost it: an empty list writes none."""
    if request.headers.get("Content-Type") != "application/x-www-form-urlencoded":
        return False
    body = request.body or b""
    text = body.decode("latin-1") if isinstance(body, bytes) else str(body)
    return {name for name, _ in parse_qsl(text, keep_blank_values=True)} <= FORM_FIELDS
