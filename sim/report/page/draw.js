// Drawing of lanes and overview.

const canvas = $('lanes'),
  overview = $('overview');
const pen = canvas.getContext('2d'),
  small = overview.getContext('2d');
const AXIS = 36,
  FOOT = 10,
  OVERVIEW = 52;

// Each group has a colour, and a shape or a dash of its own, so that colour is
// never the only difference.
const LOOK = {
  write: { colour: '--write' },
  read: { colour: '--read' },
  commit: { colour: '--commit' },
  frame: { colour: '--frame', width: 1.5, dash: [] },
  deliver: { colour: '--deliver', width: 1.5, dash: [7, 2.5] },
  receipt: { colour: '--receipt', width: 1.3, dash: [2.5, 2.5] },
  control: { colour: '--control', width: 1, dash: [1, 3] },
  drop: { colour: '--drop', width: 1.5, dash: [] },
  fact: { colour: '--fact' },
};

const paint = {}; // colours by name, read from the style sheet
const size = { width: 0, height: 0, gutter: 90, lane: 34 };
let laneY = []; // middle of each lane; -1: hidden
let points = [],
  lines = [],
  zones = [],
  gapsInView = []; // what is under the pointer in this picture
let summed = false; // points are summed up
const fits = new Uint8Array(ev.n),
  passes = new Uint8Array(ev.n); // the filters; and its group is shown
const hidden = new Set();
const chain = new Set(); // events before and behind the pinned one

function readColours() {
  const style = getComputedStyle(root);
  for (const name of [
    'paper',
    'panel',
    'ink',
    'soft',
    'faint',
    'rule',
    'hair',
    'kept',
    'broken',
    'focus',
    'net',
    'net-shade',
    'net-edge',
    'node',
    'disk',
    'clock',
  ])
    paint[name] = style.getPropertyValue('--' + name).trim();
  for (const group of GROUPS) paint[group.id] = style.getPropertyValue(LOOK[group.id].colour).trim();
  paint.sans = style.getPropertyValue('--sans').trim();
}

// fit gives a canvas as many pixels as the screen has.
function fit(target, context, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const w = Math.round(width * ratio),
    h = Math.round(height * ratio);
  if (target.width !== w || target.height !== h) {
    target.width = w;
    target.height = h;
    target.style.height = height + 'px';
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
}

// layout says where the lanes are.
function layout() {
  const shown = lanes.map((_, i) => i).filter((i) => !hidden.has(i));
  const wanted = Math.max(22, Math.min(72, 560 / Math.max(shown.length, 1)));
  size.lane = Math.round(wanted);
  size.width = canvas.parentElement.clientWidth;
  size.height = AXIS + shown.length * size.lane + FOOT;
  pen.font = `13px ${paint.sans}`;
  const widest = Math.max(40, ...shown.map((i) => pen.measureText(lanes[i].name).width));
  size.gutter = Math.ceil(Math.min(widest, 150) + 20);
  laneY = lanes.map(() => -1);
  let extra = 0,
    role = '';
  for (const [k, i] of shown.entries()) {
    if (role && lanes[i].role !== role) extra += 8;
    role = lanes[i].role;
    laneY[i] = AXIS + extra + k * size.lane + size.lane / 2;
  }
  size.height += extra;
  fit(canvas, pen, size.width, size.height);
}

const xOf = (u) => size.gutter + ((u - view.u0) / (view.u1 - view.u0)) * (size.width - size.gutter - 8);
const uOfX = (x) => view.u0 + ((x - size.gutter) / (size.width - size.gutter - 8)) * (view.u1 - view.u0);
const xOfTime = (t) => xOf(uOfTime(t));
const yOf = (i) => (ev.lane[i] < 0 ? -1 : laneY[ev.lane[i]]);

function draw() {
  const began = performance.now();
  layout();
  points = [];
  lines = [];
  zones = [];
  gapsInView = [];
  pen.save();
  pen.beginPath();
  pen.rect(size.gutter, 0, size.width - size.gutter, size.height);
  pen.clip();
  drawAxis();
  drawNetMarks();
  drawLanes();
  drawLines();
  drawPoints();
  drawNodeMarks();
  labelNetMarks();
  labelGaps();
  drawMoments();
  drawProblems();
  drawChosen();
  pen.restore();
  drawNames();
  drawOverview();
  root.dataset.frame = (performance.now() - began).toFixed(1);
}

function drawAxis() {
  const { ticks: marks, base } = ticks(Math.max((size.width - size.gutter) / 96, 2));
  pen.font = `12px ${paint.sans}`;
  pen.textAlign = 'left';
  pen.textBaseline = 'alphabetic';
  for (const mark of marks) {
    const x = Math.round(xOf(mark.u)) + 0.5;
    pen.strokeStyle = paint.hair;
    pen.beginPath();
    pen.moveTo(x, AXIS - 18);
    pen.lineTo(x, size.height - FOOT);
    pen.stroke();
    pen.fillStyle = paint.soft;
    pen.fillText(mark.words, x + 4, 13);
  }
  size.base = base;
}

function drawNames() {
  pen.font = `13px ${paint.sans}`;
  pen.textBaseline = 'middle';
  pen.textAlign = 'right';
  for (const [i, lane] of lanes.entries()) {
    if (laneY[i] < 0) continue;
    pen.fillStyle = lane.role === 'edge' || lane.role === 'rest' ? paint.soft : paint.ink;
    pen.fillText(shorten(lane.name, size.gutter - 14), size.gutter - 10, laneY[i]);
  }
  if (size.base) {
    pen.fillStyle = paint.soft;
    pen.font = `11px ${paint.sans}`;
    pen.fillText(shorten(moment(size.base) + ' +', size.gutter - 8), size.gutter - 8, 9);
  }
}

function shorten(words, width) {
  if (pen.measureText(words).width <= width) return words;
  let end = words.length;
  while (end > 1 && pen.measureText(words.slice(0, end) + '…').width > width) end--;
  return words.slice(0, end) + '…';
}

// drawLanes draws the life lines; where a node does not run, there is a gap.
function drawLanes() {
  const left = size.gutter,
    right = xOf(Math.min(uOfTime(raw.end), view.u1));
  for (const [i, lane] of lanes.entries()) {
    const y = laneY[i];
    if (y < 0) continue;
    pen.strokeStyle = paint.faint;
    pen.lineWidth = 1;
    let x = Math.max(xOfTime(0), left);
    const gaps = (lane.gaps || []).slice().sort((a, b) => a.a - b.a);
    for (const gap of gaps) {
      const a = Math.max(xOfTime(gap.a), left - 20),
        b = Math.min(Math.max(xOfTime(gap.b), xOfTime(gap.a) + 3), right + 20);
      if (b < left || a > size.width) continue;
      stroke(x, y, a, y);
      drawGap(gap, a, b, y);
      gapsInView.push({ gap, a, b, y });
      zones.push({
        x0: a,
        x1: b,
        y0: y - size.lane / 2,
        y1: y + size.lane / 2,
        words: `${lane.name}: ${gap.why}`,
        from: gap.a,
        to: gap.b,
      });
      x = Math.max(x, b);
    }
    pen.strokeStyle = paint.faint;
    stroke(x, y, right, y);
  }
}

function stroke(x0, y0, x1, y1) {
  if (x1 === x0 && y1 === y0) return;
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
  pen.stroke();
}

function drawGap(gap, a, b, y) {
  const half = size.lane * 0.3,
    frozen = gap.why === 'frozen';
  pen.save();
  pen.fillStyle = frozen ? paint.hair : paint.paper;
  pen.strokeStyle = paint.node;
  pen.setLineDash(frozen ? [1.5, 3] : [4, 3]);
  pen.beginPath();
  pen.rect(a, y - half, b - a, 2 * half);
  pen.fill();
  pen.stroke();
  pen.setLineDash([]);
  if (!frozen && gap.a > 0) cross(a, y, 4.5, paint.ink, 2);
  pen.restore();
}

// labelGaps says why a node does not run, over everything that passes.
function labelGaps() {
  pen.font = `11.5px ${paint.sans}`;
  pen.textAlign = 'left';
  pen.textBaseline = 'middle';
  for (const { gap, a, b, y } of gapsInView) {
    const left = Math.max(a, size.gutter) + 9;
    pen.fillStyle = paint.soft;
    if (Math.min(b, size.width) - left > pen.measureText(gap.why).width + 6) halo(gap.why, left, y + 0.5);
  }
}

function cross(x, y, r, colour, width) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.beginPath();
  pen.moveTo(x - r, y - r);
  pen.lineTo(x + r, y + r);
  pen.moveTo(x - r, y + r);
  pen.lineTo(x + r, y - r);
  pen.stroke();
  pen.lineWidth = 1;
}

// stretches gives the times in which a fault of the network is on.
function stretches(mark) {
  if (!mark.up && !mark.down) return [[mark.a, mark.b]];
  const cycle = mark.up + mark.down;
  if (xOfTime(mark.a + cycle) - xOfTime(mark.a) < 5) return [[mark.a, mark.b]];
  const out = [],
    first = Math.max(Math.floor((timeOfU(view.u0) - mark.a) / cycle), 0);
  for (let t = mark.a + first * cycle; t < mark.b && out.length < 2000 && xOfTime(t) < size.width; t += cycle) {
    if (t + mark.up < mark.b) out.push([t + mark.up, Math.min(t + cycle, mark.b)]);
  }
  return out;
}

// drawNetMarks shades the lanes that a fault of the network separates from others.
function drawNetMarks() {
  for (const mark of raw.marks) {
    if (mark.class !== 'net') continue;
    const sides = [
      [mark.nodes, 1],
      [mark.peers, 0.45],
    ];
    for (const [names, weight] of sides) {
      const inside = new Set((names || []).map(laneNamed));
      for (const [a, b] of stretches(mark)) drawWall(mark, inside, weight, xOfTime(a), xOfTime(b));
    }
  }
}

// labelNetMarks names the walls, over everything that passes them.
function labelNetMarks() {
  for (const mark of raw.marks) if (mark.class === 'net') labelWall(mark, new Set((mark.nodes || []).map(laneNamed)));
}

function drawWall(mark, inside, weight, x0, x1) {
  if (x1 < size.gutter || x0 > size.width) return;
  x1 = Math.max(x1, x0 + 1.5);
  for (const [i, y] of laneY.entries()) {
    if (y < 0 || !inside.has(i)) continue;
    pen.globalAlpha = weight;
    pen.fillStyle = paint['net-shade'];
    pen.fillRect(x0, y - size.lane / 2, x1 - x0, size.lane);
    pen.globalAlpha = 1;
    zones.push({
      x0,
      x1,
      y0: y - size.lane / 2,
      y1: y + size.lane / 2,
      words: `${mark.name}: ${mark.words}`,
      from: mark.a,
      to: mark.b,
    });
    if (weight < 1) continue;
    pen.strokeStyle = paint['net-edge'];
    pen.setLineDash(mark.name === 'partition' || mark.name === 'flapping link' ? [] : [5, 4]);
    if (!walled(inside, i, -1)) stroke(x0, y - size.lane / 2 + 0.5, x1, y - size.lane / 2 + 0.5);
    if (!walled(inside, i, 1)) stroke(x0, y + size.lane / 2 - 0.5, x1, y + size.lane / 2 - 0.5);
    pen.setLineDash([]);
  }
}

// walled reports whether the next lane that is shown stands on the same side.
function walled(inside, i, step) {
  for (i += step; i >= 0 && i < lanes.length; i += step) if (laneY[i] >= 0) return inside.has(i);
  return false;
}

function labelWall(mark, inside) {
  const a = Math.max(xOfTime(mark.a), size.gutter) + 5,
    b = Math.min(xOfTime(mark.b), size.width);
  pen.font = `11.5px ${paint.sans}`;
  const way = ['', ' →', ' ←'][mark.way] || '';
  const words = mark.name + way;
  if (b - a < pen.measureText(words).width + 8) return;
  const first = lanes.findIndex((_, i) => inside.has(i) && laneY[i] >= 0);
  if (first < 0) return;
  pen.fillStyle = paint['net-edge'];
  pen.textAlign = 'left';
  pen.textBaseline = 'top';
  halo(words, a, laneY[first] - size.lane / 2 + 3);
}

// range gives the indexes of the events that can touch the view.
function range() {
  if (view.even) return [Math.max(below(rank, view.u0) - 1, 0), Math.min(below(rank, view.u1) + 1, ev.n)];
  return [below(ev.at, view.u0), below(ev.at, view.u1)];
}

// drawLines draws what travels: single lines, or of too many the sum of those
// that fall on the same pixels.
function drawLines() {
  const [first, last] = range();
  const wanted = [];
  for (let i = first; i < Math.min(last + 20000, ev.n) && wanted.length < 60000; i++) {
    const from = ev.line[i];
    if (from < 0 || !fits[i] || !state.on[ev.lineGroup[i]] || (i >= last && from >= last)) continue;
    const y0 = yOf(from),
      y1 = ev.end[i] < 0 ? -1 : laneY[ev.end[i]];
    if (y0 < 0 || y1 < 0 || y0 === y1) continue;
    wanted.push([i, xOf(uOfEvent(from)), y0, xOf(uOfEvent(i)), y1]);
  }
  if (wanted.length > 1200) return sumLines(wanted);
  for (const [i, x0, y0, x1, y1] of wanted) drawLine(i, x0, y0, x1, y1, wanted.length);
}

function drawLine(i, x0, y0, x1, y1, count) {
  const group = GROUPS[ev.lineGroup[i]].id,
    look = LOOK[group];
  pen.strokeStyle = paint[group];
  pen.globalAlpha = Math.max(0.35, Math.min(1, 500 / count));
  pen.lineWidth = look.width || 1;
  if (ev.lineGroup[i] === G.drop) {
    const [xm, ym] = dropPoint(x0, y0, x1, y1);
    pen.setLineDash([4, 3]);
    stroke(x0, y0, xm, ym);
    pen.setLineDash([]);
    cross(xm, ym, 3.2, paint.drop, 1.7);
    lines.push({ i, x0, y0, x1: xm, y1: ym });
  } else {
    pen.setLineDash(look.dash || []);
    stroke(x0, y0, x1, y1);
    pen.setLineDash([]);
    if (count < 700) arrowHead(x0, y0, x1, y1);
    lines.push({ i, x0, y0, x1, y1 });
  }
  pen.globalAlpha = 1;
  pen.lineWidth = 1;
}

// dropPoint gives the end of a broken line: a good part of a lane's height on
// the way, so that the losses of one node stay beside it.
function dropPoint(x0, y0, x1, y1) {
  const share = Math.min(0.55, (size.lane * 0.62) / Math.max(Math.abs(y1 - y0), 1));
  return [x0 + Math.max((x1 - x0) * share, 2), y0 + (y1 - y0) * share];
}

function arrowHead(x0, y0, x1, y1) {
  const angle = Math.atan2(y1 - y0, x1 - x0),
    r = 6;
  pen.fillStyle = pen.strokeStyle;
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x1 - r * Math.cos(angle - 0.36), y1 - r * Math.sin(angle - 0.36));
  pen.lineTo(x1 - r * Math.cos(angle + 0.36), y1 - r * Math.sin(angle + 0.36));
  pen.fill();
}

function sumLines(wanted) {
  const sums = new Map();
  for (const [i, x0, y0, x1, y1] of wanted) {
    const group = ev.lineGroup[i],
      column = Math.round(x0 / 2);
    const key = ((column * 512 + Math.round(y0 / 4)) * 512 + Math.round(y1 / 4)) * 16 + group;
    const sum = sums.get(key);
    if (sum) sum.n++;
    else sums.set(key, { n: 1, group, drop: group === G.drop, x0, y0, x1, y1 });
  }
  const paths = new Map();
  for (const sum of sums.values()) {
    const level = Math.min(Math.ceil(Math.log2(sum.n + 1)), 5),
      key = sum.group * 8 + level;
    if (!paths.has(key)) paths.set(key, new Path2D());
    const path = paths.get(key),
      [x, y] = sum.drop ? dropPoint(sum.x0, sum.y0, sum.x1, sum.y1) : [sum.x1, sum.y1];
    path.moveTo(sum.x0, sum.y0);
    path.lineTo(x, y);
  }
  const dense = Math.min(1, 1200 / sums.size);
  for (const [key, path] of [...paths].sort((a, b) => a[0] - b[0])) {
    const group = GROUPS[key >> 3].id,
      loud = group === 'drop' ? 1.6 : 1;
    pen.strokeStyle = paint[group];
    pen.globalAlpha = Math.min(1, (0.1 + 0.12 * (key & 7)) * loud * Math.max(dense, 0.14));
    pen.stroke(path);
  }
  pen.globalAlpha = 1;
}
