// From time to place on the page. A place u is a time, or with even spacing the
// number of shown events before it; the view is a stretch of u.

const view = { u0: 0, u1: 1, even: false };
let rank = null; // with even spacing: shown events before each event

// setRank counts the events that pass, for even spacing.
function setRank(passes) {
  rank = new Float64Array(ev.n + 1);
  for (let i = 0; i < ev.n; i++) rank[i + 1] = rank[i] + (passes[i] ? 1 : 0);
}

function uOfEvent(i) {
  return view.even ? rank[i] : ev.at[i];
}

function uOfTime(t) {
  if (!view.even) return t;
  const k = below(ev.at, t);
  if (k === 0) return Math.min(0, t - ev.at[0]) / Math.max(raw.end, 1);
  if (k >= ev.n) return rank[ev.n] + Math.min((t - ev.at[ev.n - 1]) / Math.max(raw.end, 1), 1);
  const from = ev.at[k - 1],
    to = ev.at[k];
  return rank[k - 1] + (rank[k] - rank[k - 1]) * (to > from ? (t - from) / (to - from) : 1);
}

function timeOfU(u) {
  if (!view.even) return u;
  const k = below(rank, u);
  if (k <= 0) return ev.n ? ev.at[0] : 0;
  if (k >= ev.n) return raw.end;
  const from = ev.at[k - 1],
    to = ev.at[k],
    share = rank[k] > rank[k - 1] ? (u - rank[k - 1]) / (rank[k] - rank[k - 1]) : 0;
  return from + (to - from) * share;
}

// whole gives the stretch of the whole run.
function whole() {
  const end = view.even ? Math.max(rank[ev.n], 1) : Math.max(raw.end, 1);
  return [-end * 0.008, end * 1.05];
}

// limitView keeps the view inside the run and not narrower than sense allows.
function limitView() {
  const [low, high] = whole();
  const least = view.even ? 4 : 20;
  let width = Math.min(Math.max(view.u1 - view.u0, least), high - low);
  view.u0 = Math.min(Math.max(view.u0, low), high - width);
  view.u1 = view.u0 + width;
}

// setView shows a stretch of time.
function setView(t0, t1) {
  view.u0 = uOfTime(t0);
  view.u1 = uOfTime(t1);
  limitView();
}

// setEven switches the spacing and keeps what is in view.
function setEven(even) {
  const t0 = timeOfU(view.u0),
    t1 = timeOfU(view.u1);
  const all = view.u0 <= whole()[0] && view.u1 >= whole()[1];
  view.even = even;
  if (all) [view.u0, view.u1] = whole();
  else setView(t0, t1);
}

function zoom(factor, u) {
  view.u0 = u - (u - view.u0) * factor;
  view.u1 = u + (view.u1 - u) * factor;
  limitView();
}

function pan(share) {
  const by = (view.u1 - view.u0) * share;
  view.u0 += by;
  view.u1 += by;
  limitView();
}

const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 1.5e7, 3e7,
  6e7, 1.2e8, 3e8, 6e8, 9e8, 1.8e9, 3.6e9, 7.2e9, 1.08e10, 2.16e10, 4.32e10, 8.64e10, 1.728e11, 4.32e11, 8.64e11,
  1.728e12, 4.32e12, 8.64e12,
];

// ticks gives places and words of the axis, and the moment that the words count from.
function ticks(most) {
  if (view.even) return evenTicks(most);
  const width = view.u1 - view.u0;
  const step = STEPS.find((s) => width / s <= most) || width / most;
  const unit = width < 2e6 ? 1e6 : width < 6e7 ? 6e7 : width < 3.6e9 ? 3.6e9 : width < 8.64e10 ? 8.64e10 : Infinity;
  const start = Math.max(view.u0, 0);
  const base = unit === Infinity ? 0 : Math.floor(start / unit) * unit;
  const out = [];
  for (let t = Math.ceil(start / step) * step; t <= view.u1; t += step)
    out.push({ u: t, words: tick(t - base, step) });
  return { ticks: out, base };
}

// evenTicks says at even distances which moment is there.
function evenTicks(most) {
  const out = [],
    count = Math.max(Math.floor(most / 1.5), 2);
  for (let k = 1; k < count; k++) {
    const u = view.u0 + ((view.u1 - view.u0) * k) / count;
    if (u >= 0 && u <= rank[ev.n]) out.push({ u, words: moment(timeOfU(u)) });
  }
  return { ticks: out, base: 0 };
}

// tick says a time as far as the step makes it necessary.
function tick(us, step) {
  const s = us / 1e6;
  if (step >= 8.64e10) return `${Math.round(s / 86400)} d`;
  const day = Math.floor(s / 86400),
    hour = Math.floor(s / 3600) % 24,
    minute = Math.floor(s / 60) % 60;
  if (step >= 6e7)
    return (day ? `${day}d ` : '') + (us >= 3.6e9 || step >= 3.6e9 ? `${hour}:${pad(minute, 2)} h` : `${minute} min`);
  const digits = step >= 1e6 ? 0 : Math.min(Math.ceil(6 - Math.log10(step)), 6);
  if (s >= 60) return `${Math.floor(s / 60)}:${(s % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, '0')}`;
  return step < 1e3 && s < 1 ? `${Number((us / 1e3).toFixed(3))} ms` : `${s.toFixed(digits)} s`;
}
