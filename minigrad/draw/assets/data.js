// The data of the page: columns of plain values, back to arrays; numbers, norms and pens.

const KINDS = ["op", "parameter", "input", "constant", "state", "group", "elided"];
let DIGITS = "";

function unpack(column, count) {
  if (Array.isArray(column)) return column;
  if ("all" in column) return new Array(count).fill(column.all);
  if ("in" in column) return unpack(column.in, count).map((value) => (value === column.none ? null : value));
  if ("sizes" in column) {
    const length = column.sizes.length / column.places;
    return Array.from({ length }, (_, place) => readCode(column, column.sizes, place));
  }
  if ("steps" in column || "near" in column) {
    let sum = 0;
    return (column.steps || differences(column)).map((step) => (sum += step));
  }
  const values = new Array(column.n).fill(null);
  const places = unpack(column.at, 1);
  unpack(column.values, places.length).forEach((value, i) => { values[places[i]] = value; });
  return values;
}

// Differences between whole numbers: a character or two each, and apart those that are too large.
function differences(column) {
  const half = Math.floor(DIGITS.length / 2) * (column.places === 1 ? 1 : DIGITS.length);
  const steps = [];
  for (let at = 0; at < column.near.length; at += column.places) {
    let step = 0;
    for (let k = at; k < at + column.places; k++) step = step * DIGITS.length + DIGITS.indexOf(column.near[k]);
    steps.push(step - half);
  }
  column.far.forEach(([place, step]) => { steps[place] = step; });
  return steps;
}

const NUMERIC = /^(norm|share|low|median|high|value_(norm|min|max|mean)|gradient_(norm|min|max|mean))/;
const TEXTS = ["label", "type", "op", "name", "scope", "state", "detail", "route", "fault"];

function unpackTable(table, texts) {
  const columns = { n: table.n };
  for (const name of Object.keys(table)) {
    if (name === "n") continue;
    let values = unpack(table[name], table.n);
    if (TEXTS.includes(name)) values = values.map((place) => texts[place]);
    else if (NUMERIC.test(name)) values = values.map((v) => (typeof v === "string" ? Number(v) : v));
    columns[name] = values;
  }
  return columns;
}

// The place of step 0 of the time axis that a time is on; one axis alone begins at 0.
function axisStart(P, time) {
  let start = 0;
  (P.axes || []).forEach(([first, offset]) => { if (first <= time) start = offset; });
  return start;
}

// The step that a time is called, counted on its own axis.
const stepName = (P, time) => time - axisStart(P, time);

function stepsName(P, first, last) {
  return last !== null && last > first ? `t = ${stepName(P, first)} to ${stepName(P, last)}` : `t = ${stepName(P, first)}`;
}

// A picture as the rest of the script uses it: nodes and edges as columns, neighbours by node.
function readPicture(raw, digits) {
  DIGITS = digits;
  const P = Object.assign({}, raw);
  P.nodes = unpackTable(raw.nodes, raw.texts);
  P.edges = unpackTable(raw.edges, raw.texts);
  const { nodes, edges } = P;
  edges.source = edges.source.map((back, i) => edges.target[i] - back);
  nodes.kind = nodes.kind.map((place) => KINDS[place]);
  nodes.into = Array.from({ length: nodes.n }, () => []);
  nodes.out = Array.from({ length: nodes.n }, () => []);
  for (let e = 0; e < edges.n; e++) {
    nodes.into[edges.target[e]].push(e);
    nodes.out[edges.source[e]].push(e);
  }
  nodes.isState = nodes.kind.map((kind, i) => kind === "state" || (kind === "elided" && nodes.state[i] !== ""));
  P.loss = readLanes(raw.loss, raw.texts);
  P.routes = readLanes(raw.routes, raw.texts);
  P.lossSteps = [...new Set([].concat(...P.loss.map((lane) => lane.loss)))].sort((a, b) => a - b);
  const names = [].concat(...P.routes.map((lane) => lane.names), edges.route.filter((name) => name));
  P.routeNames = [...new Set(names)];
  return P;
}

const laneKey = (state, layer, reverse) => JSON.stringify([state, layer || 0, reverse ? 1 : 0]);

// For each lane: its steps, and one row for each loss step, or for each time step by routes.
function readLanes(lanes, texts) {
  return (lanes || []).map((lane) => {
    const at = new Map();
    unpack(lane.at, 0).forEach((step, place) => at.set(step, place));
    const steps = lane.at.all === undefined ? at : new Map([[lane.at.all, 0]]);
    const names = (lane.names || []).map((place) => texts[place]);
    const size = (names.length * (names.length + 1)) / 2;
    const rows = names.length ? lane.rows.map((row) => Array.from({ length: size }, (_, k) => readCode(lane, row, k))) : lane.rows;
    const loss = lane.loss ? (lane.loss.all !== undefined ? [lane.loss.all] : unpack(lane.loss, 0)) : [];
    const key = laneKey(texts[lane.state], lane.layer, lane.reverse);
    const scales = (lane.scales || []).map(Number);
    return Object.assign({}, lane, { at: steps, names, rows, scales, loss, key });
  });
}

// The number that a few characters of a row stand for; the last bit of their rank is its sign.
function readCode(lane, row, place) {
  const code = row.slice(lane.places * place, lane.places * (place + 1));
  if (code.trim() === "") return 0;
  if (code.startsWith("!!")) return Infinity;
  if (code.startsWith("!-")) return -Infinity;
  if (code.startsWith("!?")) return null;
  if (code.startsWith("!")) return NaN;
  const base = DIGITS.length;
  let rank = 0;
  for (const digit of code) rank = rank * base + DIGITS.indexOf(digit);
  const kinds = lane.signed === 0 ? 1 : 2;
  const part = Math.floor(rank / kinds) / (Math.floor(base ** lane.places / kinds) - 1);
  return (kinds === 2 && rank % 2 ? -1 : 1) * 10 ** (lane.low + part * (lane.high - lane.low));
}

const lossNorm = (lane, row, place) => readCode(lane, lane.rows[row], place);

function numberText(value) {
  if (value === null || value === undefined) return "";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Inf" : "-Inf";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 0.01 && size < 1000) return String(Number(value.toPrecision(size >= 1 ? 3 : 2)));
  const [mantissa, exponent] = value.toExponential(1).split("e");
  return `${mantissa.replace(/\.0$/, "")}e${Number(exponent)}`;
}

function rangeText(low, high) {
  if (low === null || high === null || low === undefined) return "";
  const [a, b] = [numberText(low), numberText(high)];
  return a === b ? a : `${a} to ${b}`;
}

function shorten(text, limit) {
  const points = Array.from(text);
  if (points.length <= limit) return text;
  const tail = (limit - 1) >> 1;
  return `${points.slice(0, limit - 1 - tail).join("")}\u2026${points.slice(points.length - tail).join("")}`;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const hexadecimal = (color) => "#" + color.map((channel) => channel.toString(16).padStart(2, "0")).join("");

function contrasting(color) {
  const linear = color.map((c) => (c <= 10 ? c / 255 / 12.92 : Math.pow((c / 255 + 0.055) / 1.055, 2.4)));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] < 0.18 ? "#ffffff" : "#000000";
}

// Width and colour of a gradient, both linear in log10 of its norm, within one domain.
class Scale {
  constructor(data, theme) {
    Object.assign(this, { low: data.low, high: data.high, ramp: data.ramp, pens: data.pens, theme });
  }

  position(norm) { return (Math.log10(norm) - this.low) / (this.high - this.low); }

  color(norm) {
    const [start, end] = this.theme.ramp;
    const place = (start + clamp(this.position(norm), 0, 1) * (end - start)) * (this.ramp.length - 1);
    const left = Math.min(Math.floor(place), this.ramp.length - 2);
    return this.ramp[left].map((low, i) => Math.round(low + (place - left) * (this.ramp[left + 1][i] - low)));
  }

  pen(norm) {
    const { theme } = this;
    if (norm === null || norm === undefined) return { kind: "unknown", width: 0, color: theme.zero, dash: "", text: "" };
    const text = numberText(norm);
    if (!Number.isFinite(norm)) return { kind: "nonfinite", width: 4, color: theme.alarm, dash: "", text };
    if (norm <= 0) return { kind: "zero", width: 1.6, color: theme.zero, dash: "1 4", text };
    const place = this.position(norm);
    const kind = place < -1e-3 ? "low" : place > 1 + 1e-3 ? "high" : "scaled";
    const width = this.pens[0] + clamp(place, 0, 1) * (this.pens[1] - this.pens[0]);
    return { kind, width, color: hexadecimal(this.color(norm)), dash: kind === "scaled" ? "" : "6 3", text };
  }

  get quantity() { return "norm of the gradient flowing back"; }

  text(value) { return numberText(value); }

  samples(count) {
    const [first, last] = [Math.ceil(this.low - 1e-9), Math.floor(this.high + 1e-9)];
    const powers = [];
    if (last - first >= 2) {
      const stride = Math.max(1, Math.ceil((last - first) / (count - 1)));
      for (let power = last; power >= first; power -= stride) powers.unshift(power);
    } else {
      for (let i = 0; i < count; i++) powers.push(this.low + (i * (this.high - this.low)) / (count - 1));
    }
    return powers.map((power) => Math.pow(10, power));
  }
}

// The same for shares of a gradient: linear from 0 to 1, dashed where a share is negative.
class ShareScale extends Scale {
  position(share) { return Math.abs(share); }

  get quantity() { return "share of the gradient at the arrow's end"; }

  text(value) { return percent(value); }

  pen(share) {
    if (share === null || share === 0 || !Number.isFinite(share)) return super.pen(share);
    const place = Math.min(Math.abs(share), 1);
    const kind = share < 0 ? "negative" : Math.abs(share) > 1.001 ? "high" : "scaled";
    const width = this.pens[0] + place * (this.pens[1] - this.pens[0]);
    return { kind, width, color: hexadecimal(this.color(share)), dash: kind === "scaled" ? "" : "6 3", text: percent(share) };
  }

  samples() { return [0.0625, 0.25, 0.5, 0.75, 1]; }
}

// The colours of boxes by the milliseconds that they took, in a domain of their own.
class TimeScale extends Scale {
  constructor(data, theme, domain) {
    super(data, theme);
    [this.low, this.high] = domain;
  }

  get quantity() { return "time, forward and backward, in ms"; }

  text(value) { return `${numberText(value)} ms`; }
}

const timeText = (N, i) => (N.seconds && N.seconds[i] !== null ? `${numberText(1000 * N.seconds[i])} ms` : "");

function percent(share) {
  const value = 100 * share;
  const size = Math.abs(value);
  return `${size >= 9.95 ? value.toFixed(0) : size >= 0.095 || size === 0 ? value.toFixed(1) : numberText(value)} %`;
}
