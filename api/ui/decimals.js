// Exact decimals: strings as the API writes them, added without a Float64 in between.

const parts = (text) => {
  const [whole, fraction = ""] = text.split(".");
  return { digits: BigInt(whole + fraction), scale: fraction.length };
};

export function sum(texts) {
  let digits = 0n;
  let scale = 0;
  for (const each of texts.map(parts)) {
    const more = each.scale - scale;
    if (more > 0) {
      digits *= 10n ** BigInt(more);
      scale = each.scale;
    }
    digits += each.digits * 10n ** BigInt(scale - each.scale);
  }
  const sign = digits < 0n ? "-" : "";
  const plain = String(digits < 0n ? -digits : digits).padStart(scale + 1, "0");
  const fraction = plain.slice(plain.length - scale).replace(/0+$/, "");
  return sign + plain.slice(0, plain.length - scale) + (scale && fraction ? `.${fraction}` : "");
}

export function compare(one, other) {
  const a = parts(one);
  const b = parts(other);
  const left = a.digits * 10n ** BigInt(b.scale);
  const right = b.digits * 10n ** BigInt(a.scale);
  return left < right ? -1 : left > right ? 1 : 0;
}

// Groups of three with a thin space, which is read the same in every language and ends no line.
export function grouped(number) {
  const [whole, fraction] = String(number).split(".");
  const spaced = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f");
  return fraction === undefined ? spaced : `${spaced}.${fraction}`;
}
