// A reader of Almanac's bundles for browsers and Node.js: an ES module without dependencies. See docs/edge.md.
//
//   import {openBundle} from "./almanac_bundles.js";
//   const bundle = await openBundle("late_order.bundle", {publicKey: pem, held, now: new Date()});
//   const found = bundle.lookUp({order_id: "O01888"}, new Date());
//
// It needs the plain JSON that a target with `format: json` has beside the SQLite file, or sql.js to open that file:
// openBundle(place, {sql: await initSqlJs()}). What it says is what the reader
// in Python says, bit for bit.

export class BundleRefused extends Error {}
export class NotThere extends BundleRefused {}
export class Damaged extends BundleRefused {}
export class WronglySigned extends BundleRefused {}
export class Older extends BundleRefused {}
export class Expired extends BundleRefused {}
export class KeyRefused extends Error {}

const FORM = 1;

// ---- Signature and hash, by WebCrypto --------------------------------------------------------------------------------

const bytesOf = (base64) => Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));

async function isSignedBy(pem, text, signature) {
  const key = bytesOf(pem.replace(/-----[A-Z ]+-----/g, "").replace(/\s/g, ""));
  const owner = await crypto.subtle.importKey("spki", key, {name: "Ed25519"}, false, ["verify"]);
  let given;
  try {
    given = bytesOf(signature);
  } catch {
    return false;
  }
  return crypto.subtle.verify({name: "Ed25519"}, owner, given, new TextEncoder().encode(text));
}

async function sha256(data) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...digest].map((each) => each.toString(16).padStart(2, "0")).join("");
}

// ---- Keys: what a request gives becomes what is kept, exactly as in SQL; NOWHERE is in no row ------------------------

export const NOWHERE = Symbol("a value that the column's type cannot hold");
// Types of whole numbers, with their bits.
const WHOLE = {
  TINYINT: 8, SMALLINT: 16, INTEGER: 32, BIGINT: 64, HUGEINT: 128,
  UTINYINT: 8, USMALLINT: 16, UINTEGER: 32, UBIGINT: 64, UHUGEINT: 128,
};
const MOST_DIGITS = 60;

// A number as units / 10^scale, null if it is none, NOWHERE if it has more digits than a column can have.
function decimalOf(value) {
  let text = null;
  if (typeof value === "bigint") text = value.toString();
  else if (typeof value === "number" && Number.isFinite(value)) text = String(value);
  else if (typeof value === "string" && /^[+-]?\d{1,60}(\.\d{1,60})?$/.test(value)) text = value;
  const found = text && /^([+-]?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/.exec(text);
  if (!found) return null;
  const [, sign, before, after = "", exponent = "0"] = found;
  let units = BigInt(before + after);
  let scale = after.length - Number(exponent);
  if (Math.abs(units.toString().length - 1 - scale) >= MOST_DIGITS && units) return NOWHERE;
  if (scale < 0) [units, scale] = [units * 10n ** BigInt(-scale), 0];
  return {units: sign === "-" ? -units : units, scale};
}

function whole(value) {
  const number = decimalOf(value);
  if (number === null || number === NOWHERE) return number;
  const divisor = 10n ** BigInt(number.scale);
  return number.units % divisor ? NOWHERE : number.units / divisor;
}

function integer(type) {
  const bits = BigInt(WHOLE[type]);
  const [low, above] = type[0] === "U" ? [0n, 2n ** bits] : [-(2n ** (bits - 1n)), 2n ** (bits - 1n)];
  return (value) => {
    const found = whole(value);
    if (typeof found !== "bigint") return found;
    return low <= found && found < above ? found.toString() : NOWHERE;
  };
}

function decimal(width, scale) {
  return (value) => {
    const number = decimalOf(value);
    if (number === null || number === NOWHERE) return number;
    let {units} = number;
    if (number.scale > scale) {
      const divisor = 10n ** BigInt(number.scale - scale);
      if (units % divisor) return NOWHERE;
      units /= divisor;
    } else units *= 10n ** BigInt(scale - number.scale);
    const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, "0");
    // Where all digits stand behind the point, DuckDB writes none before it.
    const before = width === scale ? "" : digits.slice(0, digits.length - scale);
    const text = scale ? `${before}.${digits.slice(-scale)}` : digits;
    return units < 0n ? `-${text}` : text;
  };
}

function double(value) {
  if (typeof value === "string" ? !/^[+-]?\d{1,60}(\.\d{1,60})?([eE][+-]?\d{1,3})?$/.test(value) : !["number", "bigint"].includes(typeof value)) return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

function boolean(value) {
  const named = {true: true, false: false}[String(value).toLowerCase()];
  return typeof value === "boolean" || (typeof value === "string" && named !== undefined) ? (named ? "1" : "0") : null;
}

function text(value) {
  if (typeof value !== "string") return null;
  return /\p{Surrogate}/u.test(value) ? NOWHERE : value;
}

function date(value) {
  const found = typeof value === "string" && /^\d{4}-\d\d-\d\d$/.test(value) && !value.startsWith("0000");
  if (!found) return null;
  const at = new Date(`${value}T00:00:00Z`);
  return !Number.isNaN(at.valueOf()) && at.toISOString().slice(0, 10) === value ? value : null;
}

// Microseconds since 1970.
function instant(value) {
  if (value instanceof Date) return String(BigInt(value.getTime()) * 1000n);
  const told = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?(Z|[+-]\d\d:\d\d)?)?$/;
  const found = typeof value === "string" && told.exec(value);
  if (!found || date(found[1]) === null) return null;
  const [, day, hour = "00", minute = "00", second = "00", fraction = "", zone = "Z"] = found;
  if (hour > "23" || minute > "59" || second > "59") return null;
  let seconds = BigInt(Date.parse(`${day}T${hour}:${minute}:${second}Z`)) / 1000n;
  if (zone !== "Z") {
    const offset = BigInt(zone.slice(1, 3)) * 3600n + BigInt(zone.slice(4)) * 60n;
    seconds -= zone[0] === "-" ? -offset : offset;
  }
  return String(seconds * 1000000n + BigInt(fraction.padEnd(6, "0")));
}

function uuid(value) {
  return typeof value === "string" && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value) ? value.toLowerCase() : null;
}

const READINGS = {DOUBLE: double, BOOLEAN: boolean, VARCHAR: text, DATE: date, TIMESTAMP: instant, UUID: uuid};
for (const type in WHOLE) READINGS[type] = integer(type);

export function reading({name, type}) {
  const scaled = /^DECIMAL\((\d+),(\d+)\)$/.exec(type);
  const read = scaled ? decimal(Number(scaled[1]), Number(scaled[2])) : READINGS[type];
  if (!read) throw new BundleRefused(`rows cannot be looked up by \`${name}\`, which is ${type}`);
  return (value) => {
    if (value === null) return NOWHERE;
    const found = read(value);
    if (found === null) throw new KeyRefused(`\`${name}\` is ${type}`);
    return found;
  };
}

// What stands for some values in a Map; zero has one sign.
const joined = (values) => JSON.stringify(values.map((each) => (typeof each === "number" ? String(each + 0) : each)));

// ---- exp as glibc computes it, with fused multiply-adds, to the last bit ---------------------------------------------
// sysdeps/ieee754/dbl-64/e_exp.c (glibc 2.28 and later), on processors with FMA: all of the last ten years.

const view = new DataView(new ArrayBuffer(8));
const bitsOf = (number) => (view.setFloat64(0, number), view.getBigUint64(0));
const numberOf = (bits) => (view.setBigUint64(0, BigInt.asUintN(64, bits)), view.getFloat64(0));

function parts(number) {
  const bits = bitsOf(number);
  const exponent = Number((bits >> 52n) & 0x7ffn);
  const mantissa = (bits & 0xfffffffffffffn) | (exponent ? 1n << 52n : 0n);
  return [bits >> 63n ? -mantissa : mantissa, (exponent || 1) - 1075];
}

// a * b + c, rounded once, to even. Of results that are not subnormal.
function fma(a, b, c) {
  const [ma, ea] = parts(a);
  const [mb, eb] = parts(b);
  const [mc, ec] = parts(c);
  const exponent = Math.min(ea + eb, ec);
  let sum = ((ma * mb) << BigInt(ea + eb - exponent)) + (mc << BigInt(ec - exponent));
  if (sum === 0n) return a * b + c;
  const sign = sum < 0n ? -1 : 1;
  if (sum < 0n) sum = -sum;
  const excess = sum.toString(2).length - 53;
  if (excess <= 0) return sign * Number(sum) * 2 ** exponent;
  const rest = BigInt.asUintN(excess, sum);
  const half = 1n << BigInt(excess - 1);
  sum >>= BigInt(excess);
  if (rest > half || (rest === half && sum & 1n)) sum += 1n;
  return sign * Number(sum) * 2 ** (exponent + excess);
}

const EXP_TABLE = "AAAAAAAAAAAAAAAAAADwP26/iBpPO5s8NTP7qT327z9d3NicE2BxvGGAdz6a7O8/0WaHEHpekLyFf27oFePvPxP2ZzVS0ow8dIUV07DZ7z/6jvkjgM6LvN723Slr0O8/YcjmYU73YDzIm3UYRcfvP5nTM1vko5A8g/PGyj6+7z9te4NdppqXPA+J+WxYte8//O/9khq1jjz3R3IrkqzvP9GcL3A9vj48otHTMuyj7z8LbpCJNANqvBvT/q9mm+8/Dr0vKlJWlbxRWxLQAZPvP1XqTozvgFC8zDFswL2K7z8W9NW5I8mRvOAtqa6agu8/r1Vc6ePTgDxRjqXImHrvP0iTpeoVG4C8e1F9PLhy7z89Mt5V8B+PvOqNjDj5au8/v1MTP4yJizx1y2/rW2PvPybrEXac2Za81FwEhOBb7z9gLzo+9+yaPKq5aDGHVO8/nTiGy4Lnj7wd2fwiUE3vP43DpkRBb4o81oxiiDtG7z99BOSwBXqAPJbcfZFJP+8/lKio4/2Oljw4YnVuejjvP31IdPIYXoc8P6ayT84x7z/y5x+YK0eAPN184mVFK+8/XghxP3u4lryBY/Xh3yTvPzGrCW3h94I84d4f9Z0e7z/6v28amyE9vJDZ2tB/GO8/tAoMcoI3izwLA+SmhRLvP4/LzomSFG48Vi8+qa8M7z+2q7BNdU2DPBW3MQr+Bu8/THSs4gFChjwx2Ez8cAHvP0r401053Y88/xZksgj87j8EW447gKOGvPGfkl/F9u4/aFBLzO1KkrzLqTo3p/HuP44tURv4B5m8ZtgFba7s7j/SNpQ+6NFxvPef5TTb5+4/FRvOsxkZmbzlqBPDLePuP21MKqdIn4U8IjQSTKbe7j+KaSh6YBKTvByArARF2u4/W4kXSI+nWLwqLvchCtbuPxuaSWebLHy8l6hQ2fXR7j8RrMJg7WNDPC2JYWAIzu4/72QGOwlmljxXAB3tQcruP3kDodrhzG480DzBtaLG7j8wEg8/jv+TPN7T1/Aqw+4/sK96u86QdjwnKjbV2r/uP3fgVOu9HZM8Dd39mbK87j+Oo3EANJSPvKcsnXayue4/SaOT3Mzeh7xCZs+i2rbuP184D73G3ni8gk+dViu07j/2XHvsRhKGvA+SXcqkse4/jtf9GAU1kzzaJ7U2R6/uPwWbii+3mHs8/ceX1BKt7j8JVBzi4WOQPClUSN0Hq+4/6sYZUIXHNDy3RlmKJqnuPzXAZCvmMpQ8SCGtFW+n7j+fdplhSuSMvAncdrnhpe4/qE3vO8UzjLyFVTqwfqTuP67pK4l4U4S8IMPMNEaj7j9YWFZ43c6TvCUiVYI4ou4/ZBl+gKoQVzxzqUzUVaHuPygiXr/vs5O8zTt/Zp6g7j+CuTSHrRJqvL/aC3USoO4/7qltuO9nY7wvGmU8sp/uP1GI4FQ93IC8hJRR+X2f7j/PPlp+ZB94vHRf7Oh1n+4/sH2LwEruhrx0gaVImp/uP4rmVR4yGYa8yWdCVuuf7j/T1Aley5yQPD9d3k9poO4/HaVNudwye7yHAetzFKHuP2vAZ1T97JQ8MsEwAe2h7j9VbNar4etlPGJOzzbzou4/Qs+zL8WhiLwSGj5UJ6TuPzQ3O/G2aZO8E85MmYml7j8e/xk6hF6AvK3HI0Yap+4/bldy2FDUlLztkkSb2ajuPwCKDltnrZA8mWaK2ceq7j+06vDBL7eNPNugKkLlrO4//+fFnGC2ZbyMRLUWMq/uP0Rf81mD9ns8NncVma6x7j+DPR6nHwmTvMb/kQtbtO4/KR5si7ipXbzlxc2wN7fuP1m5kHz5I2y8D1LIy0S67j+q+fQiQ0OSvFBO3p+Cve4/S45m12zKhby6B8pw8cDuPyfOkSv8r3E8kPCjgpHE7j+7cwrhNdJtPCMj4xljyO4/YyJiIgTFh7xl5V17ZszuP9Ux4uOGHIs8My1K7JvQ7j8Vu7zT0buRvF0lPrID1e4/0jHunDHMkDxYszATntnuP7Nac26EaYQ8v/15VWve7j+0nY6Xzd+CvHrz079r4+4/hzPLkncajDyt01qZn+juP/rZ0UqPe5C8ZraNKQfu7j+6rtxW2cNVvPsVT7ii8+4/QPamPQ6kkLw6WeWNcvnuPzSTrTj01mi8R1778nb/7j81ilhr4u6RvEoGoTCwBe8/zd1fCtf/dDzSwUuQHgzvP6yYkvr7vZG8CR7XW8IS7z+zDK8wrm5zPJxShd2bGe8/lP2fXDLjjjx60P9fqyDvP6xZCdGP4IQ8S9FXLvEn7z9nGk44r81jPLXnBpRtL+8/aBmSbCxrZzxpkO/cIDfvP9K1zIMYioC8+sNdVQs/7z9v+v8/Xa2PvHyJB0otR+8/Sal1OK4NkLzyiQ0Ih0/vP6cHPaaFo3Q8h6T73BhY7z8PIkAgnpGCvJiDyRbjYO8/rJLB1VBajjyFMtsD5mnvP0trAaxZOoQ8YLQB8yFz7z8fPrQHIdWCvF+bezOXfO8/yQ1HO7kqibwpofUURobvP9OIOmAEtnQ89j+L5y6Q7z9xcp1R7MWDPINMx/tRmu8/8JHTjxL3j7zakKSir6TvP310I+KYro288WeOLUiv7z8IIKpBvMOOPCdaYe4buu8/Muupw5QrhDyXums3K8XvP+6F0TGpZIo8QEVuW3bQ7z/t4zvkujeOvBS+nK392+8/nc2RTTuJdzzYkJ6BwefvP4nMYEHBBVM88XGPK8Lz7z8=";
const exponents = bytesOf(EXP_TABLE);
const table = new DataView(exponents.buffer);
const INV_LN2_N = 0x171547652b82fe * 2 ** -45;
const NEG_LN2_HI = -0x162e42fefa0000 * 2 ** -60;
const NEG_LN2_LO = -0x1cf79abc9e3b39 * 2 ** -99;
const SHIFT = 0x18000000000000;
const [C2, C3, C4, C5] = [
  0x1ffffffffffdbd * 2 ** -54, 0x1555555555543c * 2 ** -55, 0x155555cf172b91 * 2 ** -57, 0x11111167a4d017 * 2 ** -59,
];

export function exp(x) {
  if (Number.isNaN(x)) return x;
  if (x > 709.782712893384) return Infinity;
  if (x < -745.1332191019412) return 0;
  if (Math.abs(x) < 2 ** -54) return 1 + x;
  const shifted = fma(INV_LN2_N, x, SHIFT);
  const k = bitsOf(shifted);
  const kd = shifted - SHIFT;
  const r = fma(kd, NEG_LN2_LO, fma(kd, NEG_LN2_HI, x));
  const place = Number(k % 128n) * 16;
  const tail = table.getFloat64(place, true);
  const scale = numberOf(table.getBigUint64(place + 8, true) + (k << 45n));
  const r2 = r * r;
  const added = fma(r2 * r2, fma(r, C5, C4), fma(r2, fma(r, C3, C2), tail + r));
  if (x >= 709 || x <= -707) return Math.exp(x);
  // Far below one glibc works on a larger scale, and without fusing.
  const larger = scale * 2 ** 600;
  if (x <= -512) return (larger + larger * added) * 2 ** -600;
  return fma(scale, added, scale);
}

// ---- The compiled model (docs/compiled_model.md) ---------------------------------------------------------------------

const TYPES = {U8: Uint8Array, I32: Int32Array, I64: BigInt64Array, F32: Float32Array, F64: Float64Array};

function arraysOf(data) {
  const length = Number(new DataView(data.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(data.subarray(8, 8 + length)));
  const {__metadata__: told, ...described} = header;
  if (told.format !== "almanac compiled model" || told.version !== "1") throw new BundleRefused("another compiled model");
  const arrays = {};
  for (const [name, {dtype, data_offsets: [first, end]}] of Object.entries(described)) {
    arrays[name] = new TYPES[dtype](data.slice(8 + length + first, 8 + length + end).buffer);
  }
  return [arrays, JSON.parse(told.model)];
}

export class CompiledTrees {
  constructor(data) {
    const [arrays, told] = arraysOf(data);
    this.features = told.features;
    this.link = told.model.link;
    this.narrow = arrays.base instanceof Float32Array ? Math.fround : (number) => number;
    this.base = arrays.base[0];
    this.divisor = this.narrow(told.model.divisor);
    this.columns = columnsOf(arrays);
    let at = 0;
    this.slots = [...arrays["slot.column"]].map((column) => {
      const codes = arrays["slot.codes"].subarray(at, (at += this.columns[column].refused.length));
      return {column, codes};
    });
    [this.slot, this.limit, this.leaves] = [arrays["node.slot"], arrays["node.code"], arrays.leaves];
    this.child = new Int32Array(this.slot.length);
    this.roots = [];
    let [start, leaf] = [0, 0];
    for (const size of arrays["tree.n_nodes"]) {
      this.roots.push(start);
      let child = start + 1;
      for (let node = start; node < start + Number(size); node++) {
        if (this.slot[node] < 0) this.child[node] = leaf++;
        else [this.child[node], child] = [child, child + 2];
      }
      start += Number(size);
    }
  }

  predict(values) {
    const bins = this.columns.map((column) => {
      const bin = column.binOf(values[column.feature]);
      if (column.refused[bin]) throw new KeyRefused(`the model refuses the value of \`${this.features[column.feature]}\``);
      return bin;
    });
    const codes = this.slots.map(({column, codes: ofBin}) => ofBin[bins[column]]);
    let total = this.base;
    // Tree after tree: the last bits of the sum depend on the order.
    for (let node of this.roots) {
      while (this.slot[node] >= 0) node = this.child[node] + (codes[this.slot[node]] > this.limit[node] ? 1 : 0);
      total = this.narrow(total + this.leaves[this.child[node]]);
    }
    const raw = this.narrow(total / this.divisor);
    const {function: name, slope, divisor} = this.link;
    const number = divisor === 1 ? raw : this.narrow(raw / divisor);
    if (name === "identity") return number;
    return name === "exponential" ? exp(number) : 1 / (1 + exp(-slope * number));
  }
}

function columnsOf(arrays) {
  const decoder = new TextDecoder();
  let first = 0;
  const texts = [...(arrays["category.end"] ?? [])].map((end) =>
    decoder.decode(arrays["category.text"].slice(first, (first = Number(end)))),
  );
  let [at, textAt, binAt] = [0, 0, 0];
  return [...arrays["column.feature"]].map((feature, place) => {
    const size = Number(arrays["column.n_places"][place]);
    const refused = arrays["column.refused"].subarray(binAt, (binAt += size + 2));
    if (arrays["column.kind"][place] === 2) {
      const places = new Map(texts.slice(textAt, (textAt += size)).map((each, number) => [each, number]));
      return {feature, refused, binOf: (value) => (value === null ? size + 1 : (places.get(value) ?? size))};
    }
    const edges = arrays["column.breakpoints"].subarray(at, (at += size));
    return {feature, refused, binOf: (value) => (value === null || Number.isNaN(value) ? size + 1 : below(edges, value))};
  });
}

// How many edges are below a value.
function below(edges, value) {
  let [low, high] = [0, edges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (edges[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

// ---- Expressions over the columns of one row, as DuckDB works them out; whole numbers and instants are BigInt ---------

const SPANS = {second: 1000000n, minute: 60000000n, hour: 3600000000n, day: 86400000000n};

function wholeOf(bits, number) {
  const most = 2n ** BigInt(bits - 1);
  if (number < -most || number >= most) {
    throw new KeyRefused("a whole number that is worked out of the request does not fit into its type");
  }
  return number;
}

function finite(number) {
  if (!Number.isFinite(number)) throw new KeyRefused("a number that is worked out of the request is not finite");
  return number;
}

function inRange(at) {
  if (at < 0n || at >= 253402300800000000n) {
    throw new KeyRefused("an instant of which something is worked out is before 1970 or after 9999");
  }
  return at;
}

function partOf(name, micros) {
  const at = new Date(Number(inRange(micros) / 1000n));
  const day = at.getUTCDay();
  const begun = Date.UTC(at.getUTCFullYear(), 0, 1);
  const parts = {
    year: at.getUTCFullYear(), month: at.getUTCMonth() + 1, day: at.getUTCDate(), hour: at.getUTCHours(),
    minute: at.getUTCMinutes(), second: at.getUTCSeconds(), dow: day, isodow: day || 7,
    doy: Math.floor((at.getTime() - begun) / 86400000) + 1,
  };
  return BigInt(parts[name]);
}

const WITH_SETTING = {
  add: (bits, one, other) => wholeOf(bits, one + other),
  subtract: (bits, one, other) => wholeOf(bits, one - other),
  multiply: (bits, one, other) => wholeOf(bits, one * other),
  whole_divide: (bits, one, other) => (other ? wholeOf(bits, one / other) : null),
  remainder: (bits, one, other) => (other ? wholeOf(bits, one % other) : null),
  absolute: (bits, one) => wholeOf(bits, one < 0n ? -one : one),
  part: partOf,
  difference: (span, one, other) => inRange(other) / SPANS[span] - inRange(one) / SPANS[span],
};
const STRICT = {
  to_double: Number,
  to_integer: BigInt,
  add_double: (one, other) => finite(one + other),
  subtract_double: (one, other) => finite(one - other),
  multiply_double: (one, other) => finite(one * other),
  divide: (one, other) => finite(one / other),
  negate_double: (one) => -one,
  absolute_double: Math.abs,
  equal: (one, other) => one === other,
  less: (one, other) => one < other,
  not: (one) => !one,
  join: (one, other) => one + other,
};

// Work an expression out over columns: BigInt, number, boolean, string or null.
export function valueOf([operation, ...of], row) {
  const values = () => of.map((each) => valueOf(each, row));
  switch (operation) {
    case "column": return row[of[0]];
    case "integer": return BigInt(of[0]);
    case "double": return Number(of[0]);
    case "text": case "boolean": return of[0];
    case "null": return null;
    case "is_null": return valueOf(of[0], row) === null;
    case "case": {
      const found = of.slice(0, -1).find(([when]) => valueOf(when, row) === true);
      return valueOf(found ? found[1] : of[of.length - 1], row);
    }
    case "coalesce": {
      for (const each of of) {
        const found = valueOf(each, row);
        if (found !== null) return found;
      }
      return null;
    }
    case "and": {
      const found = values();
      return found.includes(false) ? false : found.includes(null) ? null : true;
    }
    case "or": {
      const found = values();
      return found.includes(true) ? true : found.includes(null) ? null : false;
    }
  }
  const setting = operation in WITH_SETTING ? [of.shift()] : [];
  const found = values();
  return found.includes(null) ? null : (WITH_SETTING[operation] ?? STRICT[operation])(...setting, ...found);
}

// A column as it is kept, as expressions have it.
const PLAIN = {BOOLEAN: (kept) => kept === "1", DOUBLE: Number, VARCHAR: (kept) => kept};
const plainOf = (kept, type) => (kept === null ? null : (PLAIN[type] ?? BigInt)(kept));
const asFeature = (value) => (value === null || typeof value === "string" ? value : Number(value));

// ---- The bundle ------------------------------------------------------------------------------------------------------

const micros = (naive) => BigInt(instant(naive));
const said = (valid, made, facts, prediction) => {
  const second = (BigInt(valid) - (((BigInt(valid) % 1000000n) + 1000000n) % 1000000n)) / 1000000n;
  const beyond = BigInt(valid) - second * 1000000n;
  const fraction = beyond ? `.${beyond.toString().padStart(6, "0")}` : "";
  const until = `${new Date(Number(second) * 1000).toISOString().slice(0, 19)}${fraction}Z`;
  return {made, ...JSON.parse(`{${facts}}`), valid_until: until, ...JSON.parse(`{${prediction}}`)};
};

// Rows by what they are looked up by: of plain JSON, in a Map.
class MapRows {
  constructor(rows, width) {
    this.rows = new Map(rows.map((row) => [joined(row.slice(0, width)), row.slice(width)]));
  }

  get(values) {
    return this.rows.get(joined(values));
  }
}

// The same of a table of the SQLite file, by sql.js. Whole numbers are bound as text, which SQLite turns into numbers.
class SqlRows {
  constructor(database, table, keys, values) {
    const named = (name) => `"${name.replaceAll('"', '""')}"`;
    const where = keys.map((name) => `${named(name)} IS ?`).join(" AND ");
    this.statement = database.prepare(`SELECT ${values.map(named).join(", ")} FROM ${named(table)} WHERE ${where}`);
  }

  get(values) {
    this.statement.bind(values);
    const found = this.statement.step() ? this.statement.get() : undefined;
    this.statement.reset();
    return found;
  }
}

const namesOf = (columns) => columns.map(({name}) => name);

function ofPlain(manifest, content) {
  const groups = (manifest.on_demand?.groups ?? []).map(({table, keys}) => new MapRows(content.groups[table], keys.length));
  return {
    made: content.made,
    rows: new MapRows(content.predictions, manifest.keys.length),
    fallback: new MapRows(content.fallback, manifest.fallback_columns.length + 1),
    groups,
    model: content.model && bytesOf(content.model),
  };
}

function ofSqlite(manifest, database) {
  const all = (query) => database.exec(query)[0]?.values ?? [];
  const beyond = ["almanac_level", ...namesOf(manifest.fallback_columns)];
  const groups = manifest.on_demand?.groups ?? [];
  return {
    made: all("SELECT almanac_made, facts FROM almanac_made"),
    rows: new SqlRows(database, "predictions", namesOf(manifest.keys), ["valid_until", "almanac_made", "prediction"]),
    fallback: manifest.levels.length ? new SqlRows(database, "fallback", beyond, ["valid_until", "facts", "prediction"]) : null,
    groups: groups.map(({table, keys, values}) => new SqlRows(database, table, keys, values)),
    model: groups.length || manifest.on_demand ? all("SELECT compiled FROM almanac_model")[0][0].slice() : null,
  };
}

export class Bundle {
  constructor(manifest, content) {
    this.manifest = manifest;
    this.readings = manifest.keys.map((key) => [key.name, reading(key)]);
    this.made = new Map(content.made);
    this.rows = content.rows;
    this.levels = manifest.levels;
    this.beyond = new Map(manifest.fallback_columns.map((key) => [key.name, reading(key)]));
    this.fallbackNames = manifest.fallback_columns.map((key) => key.name);
    this.fallback = content.fallback;
    this.onDemand = manifest.on_demand ?? null;
    if (this.onDemand) {
      this.asked = new Map([...manifest.keys, ...this.onDemand.columns].map((key) => [key.name, [key.type, reading(key)]]));
      this.groups = this.onDemand.groups.map((group, place) => ({...group, rows: content.groups[place]}));
      this.model = new CompiledTrees(content.model);
    }
    // What of a request stands for a source's columns, for each group: given whole, or not at all.
    this.whole = (this.onDemand?.groups ?? []).map(({worked}) =>
      worked ? Object.values(worked.given).filter((name) => !this.onDemand.needed.includes(name)) : [],
    );
    this.known = new Set([...this.readings.map(([name]) => name), ...this.beyond.keys(), ...(this.asked?.keys() ?? [])]);
  }

  // What is predicted of an entity, if that is valid at `now` (a Date); null otherwise.
  lookUp(keys, now) {
    if (this.readings.some(([name]) => !(name in keys)) || Object.keys(keys).some((name) => !this.known.has(name))) {
      throw new KeyRefused(`give ${this.readings.map(([name]) => name).join(", ")}; for others, of ${[...this.known].join(", ")}`);
    }
    const values = this.readings.map(([name, read]) => read(keys[name]));
    for (const [name, value] of Object.entries(keys)) {
      if (this.asked?.has(name) && !this.readings.some(([key]) => key === name)) this.read(name, value);
      else this.beyond.get(name)?.(value);
    }
    const row = values.includes(NOWHERE) ? undefined : this.rows.get(values);
    const found = row ? [row[0], "page", this.made.get(row[1]), row[2]] : (this.score(keys) ?? this.findFallback(keys));
    return found && BigInt(now.getTime()) * 1000n < BigInt(found[0]) ? said(...found) : null;
  }

  score(keys) {
    const told = this.onDemand;
    if (!told || told.needed.some((name) => !(name in keys))) return null;
    if (this.readings.some(([name]) => keys[name] === null)) return null;
    for (const [name] of this.readings) this.read(name, keys[name]);
    if (this.whole.some((names) => names.some((name) => name in keys) && !names.every((name) => name in keys))) return null;
    const asked = this.whole.flat().filter((name) => name in keys);
    const row = Object.fromEntries([...told.needed, ...asked].map((name) => [name, this.read(name, keys[name])]));
    const until = told.valid_until_column === null ? told.valid_until_us : row[told.valid_until_column];
    if (until === null) return null;
    const found = this.groups.map((group) => {
      if (group.worked && Object.values(group.worked.given).every((name) => name in row)) {
        return this.workedRow(group.worked, row) ?? group.values.map(() => null);
      }
      const values = group.given.map((name) => row[name]);
      return (values.includes(null) ? undefined : group.rows.get(values)) ?? group.values.map(() => null);
    });
    const values = told.features.map((place) => {
      if (typeof place !== "string") return found[place[0]][place[1]];
      const kept = row[place];
      return kept === null || this.asked.get(place)[0] === "VARCHAR" ? kept : Number(kept);
    });
    const prediction = this.model.predict(values);
    return Number.isFinite(prediction) ? [until, "on demand", told.facts, JSON.stringify({[told.score]: prediction}).slice(1, -1)] : null;
  }

  // A group's values, worked out of what the request gives of its source; null if the group has no row of that.
  workedRow({given, types, where, values}, row) {
    const columns = Object.fromEntries(Object.entries(given).map(([column, name]) => [column, plainOf(row[name], types[column])]));
    if (where !== null && valueOf(where, columns) !== true) return null;
    return values.map((each) => asFeature(valueOf(each, columns)));
  }

  read(name, value) {
    if (value === null) return null;
    const [type, read] = this.asked.get(name);
    const kept = read(value);
    if (kept === NOWHERE) throw new KeyRefused(`\`${name}\` is ${type}, which cannot hold that value`);
    return kept;
  }

  findFallback(keys) {
    for (const [place, [level, columns]] of this.levels.entries()) {
      if (columns.some((name) => !(name in keys))) continue;
      const values = new Map(columns.map((name) => [name, this.beyond.get(name)(keys[name])]));
      if ([...values.values()].includes(NOWHERE)) continue;
      const row = this.fallback.get([place, ...this.fallbackNames.map((name) => values.get(name) ?? null)]);
      if (row) return [row[0], `fallback ${level}`, row[1], row[2]];
    }
    return null;
  }
}

async function fetched(url) {
  let answer;
  try {
    answer = await fetch(url);
  } catch (error) {
    throw new NotThere(`${url} cannot be read: ${error}`);
  }
  if (!answer.ok) throw new NotThere(`${url} is not there: ${answer.status}`);
  return answer.arrayBuffer();
}

// Check a bundle and open it. `load` reads a file of it: by default it is fetched from below `place`. With `sql`, which
// sql.js's initSqlJs() gives, it is the SQLite file that is read.
export async function openBundle(place, {publicKey = null, held = null, now = null, load = null, sql = null} = {}) {
  const read = load ?? ((name) => fetched(`${place}/${name}`));
  const data = await read("manifest.json");
  let outer, manifest;
  try {
    outer = JSON.parse(new TextDecoder().decode(data));
    manifest = JSON.parse(outer.manifest);
  } catch (error) {
    throw new Damaged(`${place} cannot be read as a bundle's manifest: ${error}`);
  }
  if (publicKey !== null && !(outer.signature && (await isSignedBy(publicKey, outer.manifest, outer.signature)))) {
    throw new WronglySigned(`${place} is not signed by the owner of the public key.`);
  }
  if (manifest.almanac_bundle !== FORM) throw new BundleRefused(`${place} is of form ${manifest.almanac_bundle}`);
  if (!manifest.json && !sql) throw new BundleRefused(`${place} has no plain JSON: give its target \`format: json\`, or sql.js`);
  if (held && (held.suite !== manifest.suite || held.product !== manifest.product)) {
    throw new BundleRefused(`${place} holds ${manifest.product} now, and held ${held.product}`);
  }
  if (held) {
    const [ours, theirs] = [micros(manifest.published_at), micros(held.published_at)];
    if (ours < theirs || (ours === theirs && manifest.snapshot_id < held.snapshot_id)) {
      throw new Older(`${place} is of ${manifest.published_at}, and what is held is of ${held.published_at}.`);
    }
  }
  if (now && micros(manifest.valid_until) <= BigInt(now.getTime()) * 1000n) {
    throw new Expired(`${place} was valid until ${manifest.valid_until}.`);
  }
  const named = sql ? manifest : manifest.json;
  const file = await read(named.file);
  if ((await sha256(file)) !== named.sha256) throw new Damaged(`${named.file} is not what the manifest names.`);
  if (sql) return new Bundle(manifest, ofSqlite(manifest, new sql.Database(new Uint8Array(file))));
  return new Bundle(manifest, ofPlain(manifest, JSON.parse(new TextDecoder().decode(file))));
}
