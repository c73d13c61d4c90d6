// What a person does with the diagram.

let waiting = true; // until the page is set up
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
    $('summed').textContent = summed
      ? 'So many events are in view that they are summed up in bars: calls above the line, commits below. ' +
        'Zoom in to see each.'
      : '';
  });
}

// related finds the events of a session, and what they led to or came from:
// frames and receipts name no session.
function related() {
  if (!state.session) return null;
  const in_ = new Uint8Array(ev.n);
  for (let i = 0; i < ev.n; i++) {
    const cause = ev.cause[i],
      own = ev.session[i] && place(i) === state.session;
    if (own || (cause >= 0 && in_[cause] && !ev.session[i])) in_[i] = 1;
  }
  for (let i = ev.n - 1; i >= 0; i--)
    if (in_[i] && ev.cause[i] >= 0 && !ev.session[ev.cause[i]]) in_[ev.cause[i]] = 1;
  return in_;
}

let filterNumber = 0; // grows with each change of what is shown

// refilter says which events are shown.
function refilter() {
  filterNumber++;
  const session = related();
  for (let i = 0; i < ev.n; i++) {
    const group = ev.group[i],
      lane = ev.lane[i];
    let fit = lane < 0 || !hidden.has(lane);
    if (fit && group !== NO_GROUP) {
      if (session && !session[i]) fit = false;
      if (state.space && ev.space[i] && text(ev.space[i]) !== state.space) fit = false;
      if (
        state.what &&
        text(ev.what[i]) !== state.what &&
        (ev.line[i] < 0 || text(ev.what[ev.line[i]]) !== state.what)
      )
        fit = false;
    }
    fits[i] = fit ? 1 : 0;
    passes[i] = fit && (group === NO_GROUP || state.on[group]) ? 1 : 0;
  }
  const t0 = rank ? timeOfU(view.u0) : 0,
    t1 = rank ? timeOfU(view.u1) : raw.end;
  setRank(passes);
  if (view.even) setView(t0, t1);
  redraw();
}

function filterSession(name) {
  state.session = name;
  const select = $('by-session');
  if (name && ![...select.options].some((option) => option.value === name))
    select.append(el('option', { value: name }, name));
  select.value = name;
  refilter();
}

// pin keeps an event; with look it comes into view.
function pin(i, look) {
  state.pinned = i;
  setChain(i);
  if (i !== null && look) {
    const u = uOfEvent(i),
      width = view.u1 - view.u0;
    if (u < view.u0 + width * 0.05 || u > view.u1 - width * 0.05) {
      view.u0 = u - width / 2;
      view.u1 = u + width / 2;
      limitView();
    }
  }
  showInspector();
  redraw();
}

// lookAt shows a moment with some dozens of events around it.
function lookAt(t) {
  const k = below(ev.at, t);
  let a = k,
    b = k,
    shown = 0;
  while (shown < 60 && (a > 0 || b < ev.n - 1)) {
    if (a > 0 && passes[--a]) shown++;
    if (b < ev.n - 1 && passes[++b]) shown++;
  }
  const wide = ev.n
    ? Math.max(Math.max(t - ev.at[Math.min(a, ev.n - 1)], ev.at[Math.min(b, ev.n - 1)] - t), 5e4)
    : raw.end / 20;
  setView(t - wide, t + wide);
  redraw();
}

// moments are what [ and ] step through: faults and violations.
function moments() {
  const all = [
    ...raw.marks.map((mark) => mark.a),
    ...raw.problems.map((problem) => problem.at),
    raw.healed,
    raw.settled,
  ].filter((t) => t > 0);
  return [...new Set(all)].sort((a, b) => a - b);
}

let last = null; // moment that [ and ] went to
function stepMoment(by) {
  const all = moments();
  if (!all.length) return;
  const now = last === null ? (by > 0 ? -1 : raw.end + 1) : last;
  const next = by > 0 ? all.find((t) => t > now) : all.findLast((t) => t < now);
  if (next === undefined) return;
  last = next;
  lookAt(next);
}

// stepEvent pins the next event that is shown, in order of time.
function stepEvent(by) {
  let i = state.pinned;
  if (i === null) i = by > 0 ? range()[0] - 1 : range()[1];
  for (i += by; i >= 0 && i < ev.n; i += by) {
    if (passes[i] && yOf(i) >= 0 && (ev.point[i] || ev.line[i] >= 0)) return pin(i, true);
  }
}

function act(key) {
  const middle = (view.u0 + view.u1) / 2;
  switch (key) {
    case 'ArrowLeft':
      pan(-0.15);
      break;
    case 'ArrowRight':
      pan(0.15);
      break;
    case '+':
    case '=':
    case 'in':
      zoom(0.6, middle);
      break;
    case '-':
    case 'out':
      zoom(1 / 0.6, middle);
      break;
    case '0':
    case 'f':
    case 'fit':
      [view.u0, view.u1] = whole();
      last = null;
      break;
    case '[':
    case 'back':
      stepMoment(-1);
      break;
    case ']':
    case 'forth':
      stepMoment(1);
      break;
    case 'n':
      stepEvent(1);
      break;
    case 'p':
      stepEvent(-1);
      break;
    case 'c':
      if (state.pinned !== null && ev.cause[state.pinned] >= 0) pin(ev.cause[state.pinned], true);
      break;
    case 'e':
      $('even').checked = !view.even;
      setEven(!view.even);
      break;
    case 'Enter':
      if (state.hover !== null) pin(state.hover);
      else stepEvent(1);
      break;
    case 'Escape':
      pin(null);
      break;
    default:
      return false;
  }
  redraw();
  return true;
}

// under gives what is drawn at a place: the nearest event, else a fault.
function under(x, y) {
  let best = null,
    least = 9;
  for (const point of points) {
    const d = Math.hypot(point.x - x, point.y - y);
    if (d < least) {
      least = d;
      best = { i: point.i };
    }
  }
  const alarm = zones.find(
    (zone) => zone.problem !== undefined && x >= zone.x0 && x <= zone.x1 && y >= zone.y0 && y <= zone.y1,
  );
  if (alarm) return alarm;
  if (best) return best;
  least = 5;
  for (const line of lines) {
    const d = distance(line, x, y);
    if (d < least) {
      least = d;
      best = { i: line.i };
    }
  }
  if (best) return best;
  return zones.findLast((zone) => x >= zone.x0 && x <= zone.x1 && y >= zone.y0 && y <= zone.y1) || null;
}

function distance(line, x, y) {
  const dx = line.x1 - line.x0,
    dy = line.y1 - line.y0,
    length = dx * dx + dy * dy;
  const share = length ? Math.max(0, Math.min(1, ((x - line.x0) * dx + (y - line.y0) * dy) / length)) : 0;
  return Math.hypot(line.x0 + dx * share - x, line.y0 + dy * share - y);
}

// spot gives where on the diagram the pointer is.
function spot(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function usePointer() {
  let held = null;
  canvas.addEventListener('pointerdown', (event) => {
    held = { x: spot(event)[0], u0: view.u0, u1: view.u1, moved: false, select: event.shiftKey };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', (event) => {
    const [x, y] = spot(event);
    if (!held) {
      hover(x, y);
      return;
    }
    held.moved = held.moved || Math.abs(x - held.x) > 3;
    tip.hidden = true;
    if (held.moved && held.select) {
      state.stretch = [held.x, x];
    } else if (held.moved) {
      canvas.classList.add('held');
      const by = ((held.x - x) / (size.width - size.gutter)) * (held.u1 - held.u0);
      [view.u0, view.u1] = [held.u0 + by, held.u1 + by];
      limitView();
    }
    redraw();
  });
  const letGo = () => {
    held = null;
    state.stretch = null;
    canvas.classList.remove('held');
    redraw();
  };
  canvas.addEventListener('pointerup', (event) => {
    const [x, y] = spot(event);
    if (held && held.moved && held.select) {
      [view.u0, view.u1] = [uOfX(Math.min(held.x, x)), uOfX(Math.max(held.x, x))];
      limitView();
    } else if (held && !held.moved) {
      click(x, y);
    }
    letGo();
  });
  canvas.addEventListener('pointercancel', letGo);
  canvas.addEventListener('pointerleave', () => hover(-1, -1));
  canvas.addEventListener('dblclick', (event) => {
    zoom(0.35, uOfX(spot(event)[0]));
    redraw();
  });
}

// hover shows what is under the pointer.
function hover(x, y) {
  const found = x > size.gutter ? under(x, y) : null;
  const i = found && found.i !== undefined ? found.i : null;
  if (i !== state.hover) {
    state.hover = i;
    redraw();
  }
  showTip(x, y, found);
}

function click(x, y) {
  const found = under(x, y);
  if (found && found.problem !== undefined) showProblem(found.problem);
  else pin(found && found.i !== undefined ? found.i : null);
}

// useWheel zooms while the diagram has the focus; else the page scrolls.
function useWheel() {
  const turn = (event) => {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!sideways && document.activeElement !== canvas && !event.ctrlKey) return;
    event.preventDefault();
    if (sideways) pan(event.deltaX / size.width);
    else zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300))), uOfX(spot(event)[0]));
    redraw();
  };
  canvas.addEventListener('wheel', turn, { passive: false });
}

// useOverview lets a person draw the view on the bar.
function useOverview() {
  let held = null;
  const at = (event) => {
    const box = overview.getBoundingClientRect(),
      [low, high] = whole();
    return low + ((event.clientX - box.left - size.gutter) / (size.width - size.gutter - 8)) * (high - low);
  };
  overview.addEventListener('pointerdown', (event) => {
    const u = at(event),
      all = view.u1 - view.u0 > (whole()[1] - whole()[0]) * 0.98;
    held = { u, u0: view.u0, u1: view.u1, inside: !all && u > view.u0 && u < view.u1 };
    overview.setPointerCapture(event.pointerId);
  });
  overview.addEventListener('pointermove', (event) => {
    if (!held) return;
    const u = at(event);
    if (held.inside) [view.u0, view.u1] = [held.u0 + u - held.u, held.u1 + u - held.u];
    else if (Math.abs(u - held.u) > (whole()[1] - whole()[0]) * 0.004)
      [view.u0, view.u1] = [Math.min(u, held.u), Math.max(u, held.u)];
    limitView();
    redraw();
  });
  overview.addEventListener('pointerup', (event) => {
    if (held && !held.inside && at(event) === held.u) {
      const half =
        (held.u1 - held.u0 > (whole()[1] - whole()[0]) * 0.98 ? (held.u1 - held.u0) / 10 : held.u1 - held.u0) / 2;
      [view.u0, view.u1] = [held.u - half, held.u + half];
      limitView();
      redraw();
    }
    held = null;
  });
}

// showProblem pins the event of a violation, or says it beside the diagram.
function showProblem(k) {
  const problem = raw.problems[k];
  let found = null;
  for (let i = below(ev.at, problem.at - 1); i < ev.n && ev.at[i] <= problem.at + 1; i++) {
    if (kindOf(i) === 'problem' && text(ev.node[i]) === (problem.node || '')) found = i;
  }
  pin(found);
  inspector.replaceChildren(
    el('h3', null, isolated(problem.check)),
    el('p', { class: 'detail' }, isolated(problem.text)),
    el('p', null, [moment(problem.at), problem.node, problem.session].filter(Boolean).join(' · ')),
    el(
      'div',
      { class: 'row' },
      problem.session
        ? el('button', { type: 'button', onclick: () => openStory(problem.session) }, 'history of the session')
        : null,
      el('button', { type: 'button', onclick: () => pin(null) }, 'let go'),
    ),
  );
}
