// The beginning: everything is wired here.

function useChips() {
  const counts = GROUPS.map(() => 0);
  for (let i = 0; i < ev.n; i++) {
    const kind = kindOf(i),
      again = kind === 'answer' || (kind === 'send' && ev.child[i] >= 0); // counted as call, as arrival
    if (ev.group[i] !== NO_GROUP && !again) counts[ev.group[i]]++;
  }
  state.on[G.control] = counts[G.control] < 150;
  for (const [k, group] of GROUPS.entries()) {
    if (!counts[k] && group.id !== 'write') continue;
    const chip = el(
      'button',
      {
        type: 'button',
        'aria-pressed': String(state.on[k]),
        title: group.tells,
        onclick: () => {
          state.on[k] = !state.on[k];
          chip.setAttribute('aria-pressed', String(state.on[k]));
          refilter();
        },
      },
      sample(group.id),
      group.name,
      ' ',
      el('small', null, grouped(counts[k])),
    );
    chip.dataset.group = group.id;
    $('groups').append(chip);
  }
}

// tally counts the values of a column and gives the most frequent.
function tally(n, value) {
  const counts = new Map();
  for (let i = 0; i < n; i++) {
    const v = value(i);
    if (v) counts.set(v, (counts.get(v) || 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 400);
}

function useFilters() {
  const fill = (select, all, found, set) => {
    select.append(
      el('option', { value: '' }, all),
      ...found.map(([name, n]) => el('option', { value: name }, `${clean(name)} (${grouped(n)})`)),
    );
    select.addEventListener('change', () => {
      set(select.value);
      refilter();
    });
    if (found.length < 2) select.closest('label').hidden = found.length === 0;
  };
  fill(
    $('by-space'),
    'all',
    tally(ev.n, (i) => text(ev.space[i])),
    (v) => {
      state.space = v;
    },
  );
  fill(
    $('by-session'),
    'all',
    tally(ev.n, (i) => (ev.session[i] ? place(i) : '')),
    (v) => {
      state.session = v;
    },
  );
  fill(
    $('by-what'),
    'all',
    tally(ev.n, (i) => (ev.group[i] === NO_GROUP ? '' : text(ev.what[i]))),
    (v) => {
      state.what = v;
    },
  );
  for (const [i, lane] of lanes.entries()) {
    const box = el('input', {
      type: 'checkbox',
      checked: true,
      onchange: () => {
        if (box.checked) hidden.delete(i);
        else hidden.add(i);
        refilter();
      },
    });
    $('lane-list').append(el('label', null, box, ' ', isolated(lane.name)));
  }
}

// jump shows a moment; node and session say which event is meant.
function jump(at, node, session) {
  if (session && state.session && state.session !== session) filterSession('');
  lookAt(at);
  let best = null,
    least = 2e6;
  for (let i = Math.max(below(ev.at, at - 2e6), 0); i < ev.n && ev.at[i] <= at + 2e6; i++) {
    const fits =
      passes[i] &&
      ev.point[i] &&
      (!node || text(ev.node[i]) === node) &&
      (!session || !ev.session[i] || place(i) === session);
    const far = Math.abs(ev.at[i] - at) + (session && place(i) !== session ? 1e6 : 0);
    if (fits && far < least) {
      least = far;
      best = i;
    }
  }
  if (best !== null) pin(best);
  $('diagram').scrollIntoView();
}

function useLinks() {
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a[data-at], a[data-story]') : null;
    if (!link) return;
    event.preventDefault();
    if (link.dataset.story !== undefined) return openStory(link.dataset.story);
    const at = Number(link.dataset.at);
    if (link.dataset.problem) {
      lookAt(at);
      const k = raw.problems.findIndex(
        (problem) => problem.at === at && (problem.session || '') === link.dataset.session,
      );
      if (k >= 0) showProblem(k);
      $('diagram').scrollIntoView();
    } else {
      lookAt(at);
      $('diagram').scrollIntoView();
    }
  });
}

function useKeys() {
  canvas.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (act(event.key)) event.preventDefault();
  });
  for (const button of document.querySelectorAll('[data-key]'))
    button.addEventListener('click', () => act(button.dataset.key));
  $('even').addEventListener('change', () => {
    setEven($('even').checked);
    redraw();
  });
}

function useCopy() {
  if (!navigator.clipboard) return;
  const button = $('copy');
  button.hidden = false;
  button.addEventListener('click', () =>
    navigator.clipboard.writeText($('command').textContent).then(
      () => {
        button.textContent = 'copied';
      },
      () => {
        button.textContent = 'not allowed here';
      },
    ),
  );
}

function start() {
  readColours();
  $('board').hidden = false;
  useChips();
  useFilters();
  refilter();
  [view.u0, view.u1] = whole();
  usePointer();
  useWheel();
  useOverview();
  useKeys();
  useLinks();
  useCopy();
  showInspector();
  useStories();
  draw();
  waiting = false;
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    readColours();
    redraw();
  });
  new ResizeObserver(() => {
    if (canvas.parentElement.clientWidth !== size.width) redraw();
  }).observe(canvas.parentElement);
  root.dataset.drawn = performance.now().toFixed(0);
  root.dataset.state = 'ready';
}

start();
