// Drawing of what stands in a lane, of the moments, of the overview.

function drawPoints() {
  const [first, last] = range();
  let count = 0;
  for (let i = first; i < last; i++) if (passes[i] && ev.point[i]) count++;
  const shown = laneY.filter((y) => y >= 0).length;
  summed = count > ((size.width - size.gutter) * shown) / 9;
  if (summed) sumPoints(first, last);
  const taken = new Set(); // with sums, of facts that would cover each other only one is drawn
  for (let i = first; i < last; i++) {
    const group = ev.group[i];
    if (!passes[i] || !ev.point[i] || (summed && group !== NO_GROUP && group !== G.fact)) continue;
    const y = yOf(i),
      x = xOf(uOfEvent(i));
    const cell = Math.round(x / 7) * 4096 + ev.lane[i];
    if (y < 0 || (summed && group === G.fact && taken.has(cell))) continue;
    if (group === G.fact) taken.add(cell);
    drawPoint(i, x, y);
  }
}

function dot(x, y, r, colour, filled) {
  pen.beginPath();
  pen.arc(x, y, r, 0, 2 * Math.PI);
  pen.lineWidth = 1.4;
  if (filled) {
    pen.fillStyle = colour;
    pen.fill();
  } else {
    pen.fillStyle = paint.paper;
    pen.fill();
    pen.strokeStyle = colour;
    pen.stroke();
  }
  pen.lineWidth = 1;
}

function drawPoint(i, x, y) {
  const kind = kindOf(i),
    up = y - size.lane * 0.27;
  const add = (px, py) => points.push({ x: px, y: py, i });
  switch (kind) {
    case 'call': {
      const read = ev.group[i] === G.read;
      if (ev.refused[i]) cross(x, up, 3.6, paint.broken, 1.8);
      else dot(x, up, read ? 3 : 4, read ? paint.read : paint.write, !read);
      return add(x, up);
    }
    case 'answer': {
      const from = ev.cause[i] >= 0 ? xOf(uOfEvent(ev.cause[i])) : x;
      pen.strokeStyle = ev.refused[i] ? paint.broken : ev.group[i] === G.read ? paint.read : paint.write;
      stroke(from, up, x, up);
      if (x - from > 5) stroke(x, up - 3.5, x, up + 3.5);
      return add(x, up);
    }
    case 'commit':
      pen.fillStyle = paint.commit;
      pen.fillRect(x - 1.25, y - 5, 2.5, 10);
      return add(x, y);
    case 'fact':
      diamond(x, y + size.lane * 0.28, 4, paint.fact);
      return add(x, y + size.lane * 0.28);
    case 'start':
      pen.fillStyle = paint.ink;
      pen.beginPath();
      pen.moveTo(x, y - 5);
      pen.lineTo(x + 7, y);
      pen.lineTo(x, y + 5);
      pen.fill();
      return add(x, y);
    case 'crash':
      cross(x, y, 4.5, paint.ink, 2);
      return add(x, y);
    case 'released':
      dot(x, y, 2.6, paint.receipt, false);
      return add(x, y);
    case 'publish':
    case 'stored':
    case 'consume':
      pen.fillStyle = paint.frame;
      pen.fillRect(x - 2, y - 2, 4, 4);
      return add(x, y);
    case 'fault':
      triangle(x, y + size.lane / 2 - 1.5, 3.5, paint.disk);
      return add(x, y + size.lane / 2 - 4);
    case 'problem':
      return add(x, y);
    default:
      pen.fillStyle = paint.faint;
      pen.fillRect(x - 0.75, y - 3, 1.5, 6);
      return add(x, y);
  }
}

function diamond(x, y, r, colour) {
  pen.fillStyle = colour;
  pen.beginPath();
  pen.moveTo(x, y - r);
  pen.lineTo(x + r, y);
  pen.lineTo(x, y + r);
  pen.lineTo(x - r, y);
  pen.fill();
}

// sumPoints draws a bar for each few pixels of a lane: writes up, the rest down.
function sumPoints(first, last) {
  const step = 3,
    sums = new Map();
  for (let i = first; i < last; i++) {
    if (!passes[i] || ev.group[i] === NO_GROUP || ev.group[i] === G.fact || !ev.point[i] || kindOf(i) === 'answer')
      continue;
    const y = yOf(i);
    if (y < 0) continue;
    const column = Math.floor(xOf(uOfEvent(i)) / step),
      key = column * 4096 + ev.lane[i];
    if (!sums.has(key)) sums.set(key, { x: column * step, y, lane: ev.lane[i], up: 0, down: 0, from: i, to: i });
    const sum = sums.get(key);
    if (ev.group[i] === G.write || ev.group[i] === G.read) sum.up++;
    else sum.down++;
    sum.to = i;
  }
  const most = size.lane * 0.4,
    tall = (n) => (n ? Math.min(most, 2 + Math.log2(n) * size.lane * 0.075) : 0);
  for (const sum of sums.values()) {
    pen.fillStyle = paint.write;
    pen.fillRect(sum.x, sum.y - 1 - tall(sum.up), step - 1, tall(sum.up));
    pen.fillStyle = paint.commit;
    pen.globalAlpha = 0.5;
    pen.fillRect(sum.x, sum.y + 1, step - 1, tall(sum.down));
    pen.globalAlpha = 1;
    zones.push({
      x0: sum.x,
      x1: sum.x + step,
      y0: sum.y - most,
      y1: sum.y + most,
      sum: true,
      from: ev.at[sum.from],
      to: ev.at[sum.to],
      words:
        `${lanes[sum.lane].name}: ${counted(sum.up, 'call', 'calls')}, ` +
        counted(sum.down, 'commit or the like', 'commits and the like'),
    });
  }
}

// drawNodeMarks draws faults of a node, its disk and its clock into its lane.
function drawNodeMarks() {
  pen.font = `11.5px ${paint.sans}`;
  pen.textBaseline = 'bottom';
  pen.textAlign = 'left';
  for (const mark of raw.marks) {
    if (mark.class === 'net') continue;
    const x0 = xOfTime(mark.a),
      x1 = xOfTime(mark.b);
    if (x1 < size.gutter - 60 || x0 > size.width) continue;
    for (const lane of new Set((mark.nodes || []).map(laneNamed))) {
      const y = lane < 0 ? -1 : laneY[lane];
      if (y < 0) continue;
      const foot = y + size.lane / 2 - 2.5;
      pen.fillStyle = paint[mark.class];
      if (mark.b > mark.a) pen.fillRect(x0, foot - 1.5, Math.max(x1 - x0, 2), 3);
      else triangle(x0, foot + 1, 4.5, paint[mark.class]);
      zones.push({
        x0: Math.min(x0, x1) - 5,
        x1: Math.max(x1, x0) + 5,
        y0: foot - 7,
        y1: foot + 4,
        words: `${mark.name}: ${mark.words}`,
        from: mark.a,
        to: mark.b,
      });
      const left = Math.max(x0, size.gutter) + (mark.b > mark.a ? 4 : 8),
        width = pen.measureText(mark.name).width;
      const room = mark.b > mark.a ? x1 - left : 400;
      if (room > width + 4 && size.lane >= 26 && mark.class !== 'node')
        halo(mark.name, left, mark.b > mark.a ? foot - 2 : foot + 2);
    }
  }
}

// halo writes a word that can be read over lines.
function halo(words, x, y) {
  const colour = pen.fillStyle;
  pen.strokeStyle = paint.paper;
  pen.lineWidth = 3;
  pen.lineJoin = 'round';
  pen.strokeText(words, x, y);
  pen.fillStyle = colour;
  pen.fillText(words, x, y);
  pen.lineWidth = 1;
}

function triangle(x, y, r, colour) {
  pen.fillStyle = colour;
  pen.beginPath();
  pen.moveTo(x, y - 2 * r);
  pen.lineTo(x + r, y);
  pen.lineTo(x - r, y);
  pen.fill();
}

// drawMoments draws the healing and the agreement.
function drawMoments() {
  const healed = raw.healed > 0 ? Math.round(xOfTime(raw.healed)) + 0.5 : -1;
  const settled = raw.settled > 0 ? Math.round(xOfTime(raw.settled)) + 0.5 : -1;
  pen.font = `600 12px ${paint.sans}`;
  pen.textBaseline = 'alphabetic';
  const agree = pen.measureText('all agree').width,
    room = settled - healed,
    fitsRight = settled + agree + 6 < size.width;
  const tight = healed > 0 && settled > 0 && room < agree + 64;
  momentLine(healed, 'healed', [], tight ? 'right' : 'left');
  momentLine(
    settled,
    fitsRight || healed < 0 || room > agree + 10 ? 'all agree' : '',
    [5, 3],
    fitsRight ? 'left' : 'right',
  );
  pen.textAlign = 'left';
}

function momentLine(x, words, dash, align) {
  if (x < size.gutter || x > size.width) return;
  pen.strokeStyle = paint.kept;
  pen.lineWidth = 1.5;
  pen.setLineDash(dash);
  stroke(x, AXIS - 16, x, size.height - FOOT + 4);
  pen.setLineDash([]);
  pen.lineWidth = 1;
  pen.fillStyle = paint.kept;
  pen.textAlign = align;
  halo(words, align === 'left' ? x + 5 : x - 5, AXIS - 7);
}

function drawProblems() {
  for (const [k, problem] of raw.problems.entries()) {
    const x = xOfTime(problem.at),
      lane = laneNamed(problem.node || '');
    if (x < size.gutter || x > size.width) continue;
    const y = lane >= 0 && laneY[lane] >= 0 ? laneY[lane] : AXIS + 4;
    pen.strokeStyle = paint.broken;
    pen.globalAlpha = 0.5;
    stroke(x, AXIS - 16, x, size.height - FOOT);
    pen.globalAlpha = 1;
    triangle(x, y + 7, 7.5, paint.broken);
    pen.fillStyle = paint.paper;
    pen.font = `700 10px ${paint.sans}`;
    pen.textAlign = 'center';
    pen.textBaseline = 'bottom';
    pen.fillText('!', x, y + 6.5);
    zones.push({
      x0: x - 8,
      x1: x + 8,
      y0: y - 10,
      y1: y + 9,
      problem: k,
      words: `${problem.check}: ${problem.text}`,
      from: problem.at,
      to: problem.at,
    });
  }
  pen.textAlign = 'left';
}

// drawChosen draws the pinned event with what led to it and what came of it.
function drawChosen() {
  for (const i of chain) {
    const from = ev.line[i];
    if (from < 0 || !chain.has(from)) continue;
    const y0 = yOf(from),
      y1 = ev.end[i] < 0 ? -1 : laneY[ev.end[i]];
    if (y0 < 0 || y1 < 0 || y0 === y1) continue;
    const x0 = xOf(uOfEvent(from)),
      x1 = xOf(uOfEvent(i));
    const [x, y] = kindOf(i) === 'drop' ? dropPoint(x0, y0, x1, y1) : [x1, y1];
    pen.strokeStyle = paint[GROUPS[ev.lineGroup[i]].id];
    pen.lineWidth = 3;
    stroke(x0, y0, x, y);
    pen.lineWidth = 1;
  }
  for (const i of chain) {
    const y = yOf(i);
    if (y >= 0 && i !== state.pinned) dot(xOf(uOfEvent(i)), placeY(i, y), 3.5, paint.focus, false);
  }
  if (state.stretch) {
    pen.fillStyle = paint.focus;
    pen.globalAlpha = 0.15;
    pen.fillRect(state.stretch[0], 0, state.stretch[1] - state.stretch[0], size.height);
    pen.globalAlpha = 1;
  }
  for (const [i, r] of [
    [state.hover, 7],
    [state.pinned, 8],
  ]) {
    if (i === null || i < 0 || yOf(i) < 0) continue;
    const x = xOf(uOfEvent(i)),
      y = placeY(i, yOf(i));
    pen.strokeStyle = paint.focus;
    pen.lineWidth = i === state.pinned ? 2.5 : 1.5;
    pen.beginPath();
    pen.arc(x, y, r, 0, 2 * Math.PI);
    pen.stroke();
    pen.lineWidth = 1;
  }
}

// placeY gives where in its lane an event stands.
function placeY(i, y) {
  const kind = kindOf(i);
  if (kind === 'call' || kind === 'answer') return y - size.lane * 0.27;
  return kind === 'fact' ? y + size.lane * 0.28 : y;
}

let lastActivity = null; // the activity as it was counted last

// activity counts the shown events for each two pixels of the overview.
function activity(place, left, room) {
  if (
    lastActivity &&
    lastActivity.room === room &&
    lastActivity.filter === filterNumber &&
    lastActivity.even === view.even
  )
    return lastActivity.columns;
  const columns = new Float64Array(Math.ceil(room / 2) + 1);
  for (let i = 0; i < ev.n; i++) {
    if (passes[i]) columns[Math.max(Math.floor((place(uOfEvent(i)) - left) / 2), 0)]++;
  }
  lastActivity = { room, filter: filterNumber, even: view.even, columns };
  return columns;
}

// drawOverview draws the whole run as a bar: how much happens, the faults, the view.
function drawOverview() {
  const width = size.width,
    height = OVERVIEW,
    left = size.gutter,
    room = width - left - 8;
  fit(overview, small, width, height);
  const [low, high] = whole();
  const place = (u) => left + ((u - low) / (high - low)) * room;
  const columns = activity(place, left, room);
  const most = Math.log2(1 + columns.reduce((a, b) => Math.max(a, b), 1));
  small.fillStyle = paint.faint;
  for (const [k, n] of columns.entries()) {
    const tall = (Math.log2(1 + n) / most) * 22;
    if (n) small.fillRect(left + k * 2, 28 - tall, 2, tall);
  }
  const rows = [-9, -9, -9, -9, -9]; // where the last bar of each row ends
  for (const mark of raw.marks.slice().sort((a, b) => a.a - b.a)) {
    const x = place(uOfTime(mark.a)),
      end = Math.max(place(uOfTime(mark.b)), x + 2);
    const row = Math.max(
      rows.findIndex((free) => free + 1 < x),
      0,
    );
    rows[row] = Math.max(rows[row], end);
    small.fillStyle = paint[mark.class];
    small.fillRect(x, 30 + row * 4, end - x, 3);
  }
  for (const [t, colour] of [[raw.healed, paint.kept], ...raw.problems.map((p) => [p.at, paint.broken])]) {
    small.fillStyle = colour;
    if (t > 0) small.fillRect(place(uOfTime(t)) - 0.75, 0, 1.5, height - 2);
  }
  const a = place(view.u0),
    b = Math.max(place(view.u1), place(view.u0) + 2);
  small.fillStyle = paint.paper;
  small.globalAlpha = 0.68;
  small.fillRect(left, 0, a - left, height - 2);
  small.fillRect(b, 0, width - b, height - 2);
  small.globalAlpha = 1;
  small.strokeStyle = paint.ink;
  small.strokeRect(
    Math.max(a, left) + 0.5,
    0.5,
    Math.max(Math.min(b, width - 1) - Math.max(a, left) - 1, 1),
    height - 3,
  );
}
