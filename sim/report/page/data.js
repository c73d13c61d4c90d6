const root = document.documentElement;
const $ = (id) => document.getElementById(id);

// fail says on the page that its script failed.
function fail(error) {
  root.dataset.state = 'failed';
  const box = $('error');
  box.hidden = false;
  box.textContent =
    'The script of this page failed; what is drawn may be incomplete. ' + ((error && error.stack) || error);
}
window.addEventListener('error', (event) => fail(event.error || event.message));

// The run, decoded. Times are µs since its beginning.

// el makes an element; texts become text nodes, never markup.
function el(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === 'class') node.className = value;
    else if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? '' : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined) node.append(child);
  }
  return node;
}

// isolated keeps text of others from turning the direction of ours.
const isolated = (text) => el('bdi', null, text);

const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, '\u2009');
const counted = (n, one, more) => (n === 1 ? `1 ${one}` : `${grouped(n)} ${more}`);
const pad = (n, width) => String(n).padStart(width, '0');
const clean = (text) => text.replaceAll('_', ' ');

// moment says when in the run something is.
function moment(us) {
  return fineMoment(us).replace('.000s', 's');
}

function fineMoment(us) {
  if (us < 0) return '−' + fineMoment(-us);
  const s = us / 1e6;
  const day = Math.floor(s / 86400),
    hour = Math.floor(s / 3600) % 24,
    minute = Math.floor(s / 60) % 60;
  if (s < 60) return s.toFixed(3) + 's';
  if (s < 3600) return `${minute}m ${(s % 60).toFixed(3).padStart(6, '0')}s`;
  if (s < 86400) return `${hour}h ${pad(minute, 2)}m ${(s % 60).toFixed(1).padStart(4, '0')}s`;
  return `${day}d ${pad(hour, 2)}h ${pad(minute, 2)}m ${pad(Math.floor(s % 60), 2)}s`;
}

// span says how long something takes.
function span(us) {
  const fixed = (v, digits) => String(Number(v.toFixed(digits)));
  if (us < 1000) return us + ' µs';
  if (us < 1e6) return fixed(us / 1e3, us < 1e4 ? 1 : 0) + ' ms';
  if (us < 6e7) return fixed(us / 1e6, us < 1e7 ? 2 : 1) + ' s';
  const two = (large, name, small, nameSmall) => {
    const all = Math.round(us / small),
      per = large / small;
    return `${Math.floor(all / per)} ${name}` + (all % per ? ` ${all % per} ${nameSmall}` : '');
  };
  if (us < 3.6e9) return two(6e7, 'min', 1e6, 's');
  if (us < 8.64e10) return two(3.6e9, 'h', 6e7, 'min');
  return two(8.64e10, 'd', 3.6e9, 'h');
}

const raw = JSON.parse($('data').textContent);
for (const key of ['lanes', 'vectors', 'marks', 'problems', 'sessions']) raw[key] = raw[key] || []; // Go's nil is null
const text = (i) => raw.strings[i];
const lanes = raw.lanes;
const laneOf = new Map(lanes.map((lane, i) => [lane.name, i]));
const restLane = lanes.findIndex((lane) => lane.role === 'rest');
if (restLane >= 0) for (const name of lanes[restLane].nodes) laneOf.set(name, restLane);
const laneNamed = (name) => (laneOf.has(name) ? laneOf.get(name) : -1);

// GROUPS are what can be shown and hidden, in the order of the chips.
const GROUPS = [
  { id: 'write', name: 'writes', tells: 'a client writes; the bar ends with the answer' },
  { id: 'read', name: 'reads', tells: 'a client reads' },
  { id: 'commit', name: 'commits', tells: 'a group of ops is durable at the node' },
  { id: 'frame', name: 'frames', tells: 'ops go up to the stream, and from it to the core nodes' },
  { id: 'deliver', name: 'deliveries', tells: 'ops go down to an edge' },
  { id: 'receipt', name: 'receipts', tells: 'the core says what it holds' },
  { id: 'control', name: 'other messages', tells: 'attach, credit, heartbeat and the like' },
  { id: 'drop', name: 'drops', tells: 'a message is lost on its way' },
  { id: 'fact', name: 'facts', tells: 'a machine noticed something' },
];
const G = Object.fromEntries(GROUPS.map((group, i) => [group.id, i]));
const NO_GROUP = 255; // always shown: crashes, starts, violations, remarks

const DELIVERIES = new Set(['deliver', 'snapshotbegin', 'snapshotpiece', 'snapshotend']);
const FRAMES = new Set(['upload', 'frame', 'frames', 'publish']);
const RECEIPTS = new Set(['receipts', 'receipt', 'ack']);
const READS = new Set(['read', 'readall', 'changes']);

function groupOf(kind, what) {
  const word = what.toLowerCase().replace(/[^a-z]/g, '');
  switch (kind) {
    case 'call':
    case 'answer':
      return READS.has(word) ? G.read : G.write;
    case 'commit':
      return G.commit;
    case 'publish':
    case 'stored':
    case 'consume':
      return G.frame;
    case 'released':
      return G.receipt;
    case 'drop':
      return G.drop;
    case 'fact':
      return G.fact;
    case 'send':
    case 'arrive':
      if (DELIVERIES.has(word)) return G.deliver;
      if (FRAMES.has(word)) return G.frame;
      return RECEIPTS.has(word) ? G.receipt : G.control;
    default:
      return NO_GROUP;
  }
}

// standing reports whether an event stands in its lane rather than travels.
function standing(kind, lane, cause) {
  switch (kind) {
    case 'send':
      return 0;
    case 'fault':
    case 'heal':
      return lane >= 0 ? 1 : 0;
    case 'arrive':
    case 'drop':
      return cause < 0 ? 1 : 0;
    default:
      return 1;
  }
}

// ANSWERS are what a request is answered when it is not refused.
const ANSWERS = new Set(['ok', 'read', 'read_all', 'changes']);

// answered gives an answer the group of its call, and tells the call if it was refused.
function answered(out, i) {
  for (let k = out.cause[i], steps = 0; k >= 0 && steps < 20; k = out.cause[k], steps++) {
    if (raw.kinds[raw.events.kind[k]] !== 'call') continue;
    out.group[i] = out.group[k];
    if (!ANSWERS.has(text(raw.events.what[i]))) out.refused[k] = out.refused[i] = 1;
    return;
  }
}

// events in columns; indexes ascend with time.
const ev = (() => {
  const c = raw.events,
    n = (c.at || []).length;
  const out = {
    n,
    at: new Float64Array(n),
    serial: new Float64Array(n),
    kind: c.kind || [],
    node: c.node || [],
    peer: c.peer || [],
    cause: new Int32Array(n),
    what: c.what || [],
    detail: c.detail || [],
    space: c.space || [],
    session: c.session || [],
    vector: c.vector || [],
    lane: new Int16Array(n),
    group: new Uint8Array(n),
    line: new Int32Array(n).fill(-1),
    child: new Int32Array(n).fill(-1),
    sibling: new Int32Array(n).fill(-1),
    lineGroup: new Uint8Array(n),
    refused: new Uint8Array(n), // a call whose answer was no
    point: new Uint8Array(n),
    end: new Int16Array(n).fill(-1), // stands in its lane; lane where its line ends
  };
  const relayed = new Uint8Array(n);
  const known = new Map();
  let at = 0,
    serial = 0;
  for (let i = 0; i < n; i++) {
    out.at[i] = at += c.at[i];
    out.serial[i] = serial += c.serial[i];
    out.lane[i] = laneNamed(text(c.node[i]));
    const key = c.kind[i] * 1e6 + c.what[i];
    if (!known.has(key)) known.set(key, groupOf(raw.kinds[c.kind[i]], text(c.what[i])));
    out.group[i] = known.get(key);
    const cause = (out.cause[i] = c.cause[i] ? i - c.cause[i] : -1);
    out.point[i] = standing(raw.kinds[c.kind[i]], out.lane[i], cause);
    if (cause < 0) continue;
    out.sibling[i] = out.child[cause];
    out.child[cause] = i;
    const kind = raw.kinds[c.kind[i]],
      sent = raw.kinds[c.kind[cause]] === 'send';
    if (kind === 'answer') answered(out, i);
    // What travels is drawn as a line to its arrival, or to the first thing that it brought about.
    const brought = sent && c.node[i] === c.peer[cause] && !relayed[cause];
    if (brought || kind === 'arrive' || kind === 'drop' || kind === 'stored' || kind === 'consume') {
      out.line[i] = cause;
      out.lineGroup[i] = kind === 'drop' ? G.drop : sent ? out.group[cause] : G.frame;
      out.end[i] = kind === 'drop' ? laneNamed(text(c.peer[cause])) : out.lane[i];
      if (kind !== 'drop') relayed[cause] = 1;
    }
  }
  return out;
})();
const kindOf = (i) => raw.kinds[ev.kind[i]];

// below gives the first index of an ascending array whose value is at least v.
function below(array, v) {
  let low = 0,
    high = array.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (array[middle] < v) low = middle + 1;
    else high = middle;
  }
  return low;
}

// vectorOf gives the entries of an event's vector, and which of them are new.
function vectorOf(i) {
  let v = raw.vectors[ev.vector[i] - 1];
  if (!v) return null;
  if (v[0] === -1) return { token: text(v[1]) };
  const entries = new Map(),
    fresh = new Set();
  for (let first = true; v; first = false) {
    for (let k = 1; k < v.length; k += 2) {
      if (!entries.has(v[k])) entries.set(v[k], v[k + 1]);
      if (first) fresh.add(v[k]);
    }
    v = v[0] > 0 ? raw.vectors[v[0] - 1] : null;
  }
  const rows = [...entries]
    .filter(([, seq]) => seq > 0)
    .map(([origin, seq]) => ({ origin: text(origin), seq, fresh: fresh.has(origin) }));
  return { rows: rows.sort((a, b) => (a.origin < b.origin ? -1 : 1)) };
}

// title says in words what an event is.
function title(i) {
  const node = text(ev.node[i]),
    peer = text(ev.peer[i]),
    what = clean(text(ev.what[i]));
  switch (kindOf(i)) {
    case 'call':
      return `${peer} asks ${node}: ${what}`;
    case 'answer':
      return `${node} answers ${peer}: ${what}`;
    case 'commit':
      return `durable at ${node}: ${what}`;
    case 'send':
      return `${node} sends ${what} to ${peer}`;
    case 'arrive':
      return `arrived at ${node}: ${what} from ${peer}`;
    case 'drop':
      return `${what} lost on the way` + (node && peer ? ` (${node} → ${peer})` : '');
    case 'publish':
      return `${node} publishes ${what}`;
    case 'stored':
      return `the stream has ${what}`;
    case 'consume':
      return `${node} reads ${what} from the stream`;
    case 'fact':
      return `${node} notices: ${what}`;
    case 'fault':
      return (node ? `fault at ${node}: ` : 'fault begins: ') + what;
    case 'heal':
      return `fault ends: ${what}`;
    case 'crash':
      return `${node} dies` + (what ? `: ${what}` : '');
    case 'start':
      return `${node} starts` + (what && what !== 'starts' ? `: ${what}` : '');
    case 'released':
      return `${node} lets go of what enough core stores hold`;
    case 'problem':
      return `promise broken: ${what}`;
    default:
      return what;
  }
}
