// The history of one session.

const stories = raw.sessions || [];
const storyKey = (story) => `${story.space}/${story.session}`;
const PAGE = 60; // calls at first

function useStories() {
  const box = $('stories');
  box.hidden = false;
  if (!stories.length) {
    box.append(el('p', { class: 'note' }, 'No client asked for a session.'));
    return;
  }
  const spaces = new Set(stories.map((story) => story.space));
  const select = el(
    'select',
    { id: 'story', onchange: () => showStory(select.value) },
    stories.map((story) => {
      const name = spaces.size > 1 ? storyKey(story) : story.session;
      const broken = story.problems ? `, ${counted(story.problems, 'violation', 'violations')}` : '';
      return el(
        'option',
        { value: storyKey(story) },
        `${story.problems ? '✗ ' : ''}${name} – ${counted(story.total, 'call', 'calls')}${broken}`,
      );
    }),
  );
  box.append(
    el(
      'div',
      { class: 'pick' },
      el('label', null, 'session ', select),
      el(
        'button',
        {
          type: 'button',
          onclick: () => {
            filterSession(select.value);
            $('diagram').scrollIntoView();
          },
        },
        'only this one in the diagram',
      ),
      raw.sessionsLeftOut
        ? el('span', null, `${counted(raw.sessionsLeftOut, 'session has', 'sessions have')} no room here`)
        : null,
    ),
    el('div', { id: 'told' }),
  );
  showStory(select.value);
}

// openStory shows the history of a session, as far as it is on the page.
function openStory(key) {
  if (!stories.some((story) => storyKey(story) === key)) return;
  $('story').value = key;
  showStory(key);
  $('session').scrollIntoView();
}

function showStory(key) {
  const story = stories.find((one) => storyKey(one) === key);
  $('told').replaceChildren(
    el('h3', { class: 'sub' }, 'What it is in the end'),
    ...endings(story),
    el('h3', { class: 'sub' }, 'What was asked, and who had it when'),
    el('p', { class: 'note' }, howKnown(story)),
    callTable(story, PAGE),
  );
}

function howKnown(story) {
  const columns =
    story.how === 'commits'
      ? 'The columns say how long after the call each node held what it wrote, from the commits ' +
        'of the trace; later than 5 s is shaded, “never” means not until the end.'
      : 'The columns say how long after the call a read at each node first showed what it wrote; ' +
        'the run kept no trace that says more.';
  const more = story.more ? ` ${counted(story.more, 'node has', 'nodes have')} no column.` : '';
  const less =
    story.calls.length < story.total
      ? ` ${grouped(story.calls.length)} of ${grouped(story.total)} calls are listed: ` +
        'the first and the last, and those that a violation names.'
      : '';
  return columns + more + less;
}

// callTable lists calls with their answers, and for writes who held them when.
function callTable(story, most) {
  const head = el(
    'tr',
    null,
    ['when', 'client', 'at', 'asks', '', 'answer'].map((name) => el('th', { scope: 'col' }, name)),
    story.nodes.map((name) => el('th', { scope: 'col', class: 'h' }, isolated(name))),
  );
  const body = el(
    'tbody',
    null,
    story.calls.slice(0, most).map((call) => callRow(story, call)),
  );
  const rest = story.calls.length - most;
  const box = el(
    'div',
    null,
    el('div', { class: 'scroll' }, el('table', { class: 'calls' }, el('thead', null, head), body)),
  );
  if (rest > 0) {
    box.append(
      el(
        'p',
        null,
        el(
          'button',
          { type: 'button', onclick: () => box.replaceWith(callTable(story, Infinity)) },
          `show ${counted(rest, 'more call', 'more calls')}`,
        ),
      ),
    );
  }
  return box;
}

function callRow(story, call) {
  const reads = call.do === 'read' || call.do === 'read all';
  const answer = { ok: reads ? '' : 'ok, local', core: 'ok, core', refused: 'refused', none: 'no answer' }[call.end];
  const says = [answer, call.says].filter(Boolean).join(': ');
  const took = call.d >= 0 ? ` after ${span(call.d)}` : '';
  return el(
    'tr',
    { class: [reads ? 'read' : '', call.bad ? 'bad' : ''].join(' ').trim() },
    el(
      'td',
      { class: 'n' },
      el(
        'button',
        { type: 'button', title: 'show in the diagram', onclick: () => jump(call.t, call.n, storyKey(story)) },
        moment(call.t),
      ),
    ),
    el('td', { class: 'w', title: call.c }, isolated(call.c)),
    el('td', { class: 'w', title: call.n }, isolated(call.n)),
    el('td', { class: 'w' }, call.do),
    el('td', { class: 'v' }, isolated(call.asks || '')),
    el(
      'td',
      { class: 'v' + (call.end === 'refused' || call.end === 'none' ? ' no' : ''), title: call.end + took },
      isolated(says),
    ),
    story.nodes.map((name, k) => heldCell(call, name, k)),
  );
}

function heldCell(call, name, k) {
  if (!call.held) return el('td', { class: 'h' }, '');
  const us = call.held[k],
    own = name === call.n ? ' own' : '';
  if (us === -3)
    return el('td', { class: 'h' + own, title: 'it was there before the call, which repeats one' }, 'before');
  if (us === -2) return el('td', { class: 'h', title: 'does not carry the space' }, '·');
  if (us === -1) return call.end === 'none' ? el('td', { class: 'h' }, '–') : el('td', { class: 'h never' }, 'never');
  return el('td', { class: 'h' + own + (us > 5e6 ? ' late' : '') }, span(us));
}

// endings shows the session as the nodes show it in the end: once if they agree.
function endings(story) {
  const ends = story.ends || [];
  if (!ends.length) return [el('p', { class: 'note' }, 'No healthy node was asked for it in the end.')];
  const agree = ends.length === 1;
  const biggest = ends.reduce((a, b) => (b.nodes.length > a.nodes.length ? b : a));
  const note = agree
    ? ''
    : `The nodes show ${ends.length} different things. What differs from the most common one is marked.`;
  const box = el(
    'div',
    { class: 'ends' },
    ends.map((end) => endingBox(end, biggest, agree)),
  );
  return note ? [el('p', { class: 'note' }, note), box] : [box];
}

function endingBox(end, common, agree) {
  const who = agree
    ? `${end.nodes.length === 1 ? 'The one healthy node shows' : `All ${end.nodes.length} healthy nodes show`} the same`
    : end.nodes.join(', ');
  const box = el('section', { class: 'end' + (end === common ? '' : ' other') }, el('h4', null, isolated(who)));
  if (end.gone) {
    box.append(el('p', null, `The session is ${end.gone}.`));
    return box;
  }
  const lacks = (common.messages || []).filter((m) => !(end.messages || []).some((own) => own.id === m.id)).length;
  box.append(
    el(
      'p',
      { class: 'note' },
      [
        end.state,
        counted((end.messages || []).length + (end.skipped || 0), 'message', 'messages'),
        lacks ? `${lacks} missing` : '',
      ]
        .filter(Boolean)
        .join(', '),
    ),
  );
  const parts = el('div', { class: agree ? 'parts wide' : 'parts' });
  const part = (name, rows) => {
    if (rows.length) parts.append(el('div', null, el('h5', null, name), el('ol', { tabindex: 0 }, rows)));
  };
  const by = (m) => m.by || '',
    id = (leaf) => leaf.id;
  const last = end.skipped ? `, the last ${end.messages.length}` : '';
  part('messages' + last, values(end.messages, common.messages, by, 'redacted'));
  part('context', values(end.leaves, common.leaves, id, 'removed'));
  part('counters', pairs(end.counters, common.counters));
  part('sets', pairs(end.sets, common.sets));
  for (const [name, words] of end.texts || []) {
    parts.append(el('div', null, el('h5', null, 'text ', isolated(name)), el('pre', null, isolated(words))));
  }
  box.append(parts);
  const conflicts = end.conflicts || [];
  if (conflicts.length) box.append(el('h5', null, 'conflicts: ', isolated(conflicts.join(', '))));
  return box;
}

// values lists messages or leaves; what the most common ending shows otherwise
// is marked, and what it has beyond these stands at its place.
function values(mine, common, label, gone) {
  const key = (v) => JSON.stringify([v.id, v.v, v.others, v.gone]);
  const theirs = new Set((common || []).map(key)),
    own = new Set((mine || []).map((v) => v.id));
  const absent = new Map(); // by the id before them: what only the common ending has
  let before = '';
  for (const v of common || []) {
    if (own.has(v.id)) before = v.id;
    else absent.set(before, [...(absent.get(before) || []), v]);
  }
  const row = (v, differs, ...words) =>
    el(
      'li',
      { class: differs ? 'differs' : '' },
      el('span', { title: v.id }, isolated(label(v))),
      el('span', null, words),
    );
  const missing = (id) =>
    (absent.get(id) || []).map((v) => row(v, true, 'missing here: ', el('s', null, isolated(v.v))));
  return missing('').concat(
    (mine || []).flatMap((v) => [
      row(
        v,
        !theirs.has(key(v)),
        v.gone ? el('s', null, gone) : isolated(v.v),
        (v.others || []).length ? el('em', null, ' ≠ ', isolated(v.others.join(' ≠ '))) : null,
      ),
      ...missing(v.id),
    ]),
  );
}

function pairs(mine, common) {
  const theirs = new Map(common || []);
  return (mine || []).map(([name, value]) =>
    el(
      'li',
      { class: theirs.get(name) === value ? '' : 'differs' },
      el('span', null, isolated(name)),
      el('span', null, isolated(value)),
    ),
  );
}
