// What is said of an event: beside the pointer, and pinned beside the diagram.

const state = {
  hover: null,
  pinned: null,
  stretch: null,
  on: GROUPS.map(() => true),
  space: '',
  session: '',
  what: '',
};
const inspector = $('inspector'),
  tip = $('tip');

// sample draws the sign of a group for chips and legend.
function sample(id) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 22 12');
  svg.setAttribute('aria-hidden', 'true');
  const add = (tag, attributes) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    svg.append(node);
  };
  const look = LOOK[id] || {},
    colour = `var(${look.colour || '--ink'})`;
  switch (id) {
    case 'write':
      add('circle', { cx: 11, cy: 6, r: 4, fill: colour });
      break;
    case 'read':
      add('circle', { cx: 11, cy: 6, r: 3.4, fill: 'none', stroke: colour, 'stroke-width': 1.6 });
      break;
    case 'commit':
      add('rect', { x: 9.7, y: 1, width: 2.6, height: 10, fill: colour });
      break;
    case 'fact':
      add('path', { d: 'M11 1.5 15.5 6 11 10.5 6.5 6Z', fill: colour });
      break;
    case 'drop':
      add('path', { d: 'M0 6H9', stroke: colour, 'stroke-width': 1.6, 'stroke-dasharray': '4 2.5' });
      add('path', { d: 'M9 2.5l7 7M9 9.5l7-7', stroke: colour, 'stroke-width': 1.8 });
      break;
    case 'refused':
      add('path', { d: 'M7.5 2.5l7 7M7.5 9.5l7-7', stroke: 'var(--broken)', 'stroke-width': 1.8 });
      break;
    case 'gap':
      add('rect', {
        x: 1,
        y: 2,
        width: 20,
        height: 8,
        fill: 'none',
        stroke: 'var(--node)',
        'stroke-dasharray': '3 2',
      });
      break;
    case 'wall':
      add('rect', { x: 0, y: 1, width: 22, height: 10, fill: 'var(--net-shade)' });
      add('path', { d: 'M0 1H22M0 11H22', stroke: 'var(--net-edge)' });
      break;
    case 'fault':
      add('rect', { x: 0, y: 8, width: 12, height: 3, fill: 'var(--disk)' });
      add('path', { d: 'M17.5 3l3.5 8h-7Z', fill: 'var(--clock)' });
      break;
    case 'problem':
      add('path', { d: 'M11 0l6 12H5Z', fill: 'var(--broken)' });
      break;
    case 'healed':
      add('path', { d: 'M11 0V12', stroke: 'var(--kept)', 'stroke-width': 2 });
      break;
    default:
      add('path', {
        d: 'M0 10 20 2',
        stroke: colour,
        'stroke-width': look.width || 1.4,
        'stroke-dasharray': (look.dash || []).join(' ') || 'none',
      });
  }
  return svg;
}

function legend() {
  const entry = (id, words) => [el('dt', null, sample(id)), el('dd', null, words)];
  return [
    el('h3', null, 'How to read it'),
    el(
      'dl',
      { class: 'legend' },
      GROUPS.map((group) => entry(group.id, `${group.name}: ${group.tells}`)),
      entry('wall', 'these lanes are cut off, or their links are bad'),
      entry('refused', 'a call that was refused'),
      entry('gap', 'the node is down (✕) or frozen'),
      entry('fault', 'a fault of disk, clock or node: lasting, at once'),
      entry('healed', 'all faults are over; dashed: all nodes agree'),
      entry('problem', 'a promise is broken'),
    ),
  ];
}

// place says which space or session an event is about.
function place(i) {
  return text(ev.space[i]) + (ev.session[i] ? '/' + text(ev.session[i]) : '');
}

// showTip says what is under the pointer.
function showTip(x, y, found) {
  if (!found) {
    tip.hidden = true;
    return;
  }
  tip.replaceChildren();
  if (found.words !== undefined) {
    tip.append(el('b', null, isolated(found.words)));
    const lasts = found.to > found.from ? ` – ${moment(found.to)} (${span(found.to - found.from)})` : '';
    tip.append(el('span', null, moment(found.from) + lasts));
    if (found.sum) tip.append(el('span', null, 'zoom in to see each'));
  } else {
    const i = found.i;
    tip.append(
      el('b', null, isolated(title(i))),
      el('span', null, [moment(ev.at[i]), took(i)].filter(Boolean).join(', ')),
    );
    if (ev.detail[i]) tip.append(el('div', null, isolated(text(ev.detail[i]))));
    if (place(i)) tip.append(el('span', null, isolated(place(i))));
    const vector = ev.vector[i] ? vectorOf(i) : null;
    if (vector && vector.token) tip.append(el('span', null, 'vector ', isolated(vector.token)));
    else if (vector) {
      const rows = vector.rows.filter((row) => row.fresh).concat(vector.rows.filter((row) => !row.fresh)),
        most = 6;
      tip.append(
        el(
          'span',
          null,
          'holds ',
          isolated(
            rows
              .slice(0, most)
              .map((row) => `${row.origin} ${grouped(row.seq)}`)
              .join(', '),
          ),
          rows.length > most ? ` and ${rows.length - most} more` : '',
        ),
      );
    }
  }
  tip.hidden = false;
  const box = canvas.getBoundingClientRect(),
    top = canvas.offsetTop;
  const width = tip.offsetWidth,
    height = tip.offsetHeight;
  tip.style.left = Math.max(0, Math.min(x + 16, box.width - width)) + 'px';
  tip.style.top = (y + top + 18 + height > top + box.height + 40 ? top + y - height - 14 : top + y + 18) + 'px';
}

// took says how long after its cause an event came.
function took(i) {
  const cause = ev.cause[i];
  if (cause < 0) return '';
  return (
    `${span(ev.at[i] - ev.at[cause])} after ` +
    ({ arrive: 'it was sent', drop: 'it was sent', answer: 'the call' }[kindOf(i)] || 'its cause')
  );
}

function children(i) {
  const out = [];
  for (let k = ev.child[i]; k >= 0; k = ev.sibling[k]) out.push(k);
  return out.reverse();
}

// setChain finds what led to an event and what came of it.
function setChain(i) {
  chain.clear();
  if (i === null) return;
  for (let k = i; k >= 0 && chain.size < 400; k = ev.cause[k]) chain.add(k);
  const open = [i];
  while (open.length && chain.size < 800) {
    for (const k of children(open.shift())) {
      if (!chain.has(k)) {
        chain.add(k);
        open.push(k);
      }
    }
  }
}

function link(i, words) {
  return el('button', { type: 'button', onclick: () => pin(i, true) }, isolated(words));
}

// showInspector says all about the pinned event, or how to read the diagram.
function showInspector() {
  const i = state.pinned;
  if (i === null) {
    inspector.replaceChildren(...legend());
    return;
  }
  const out = [
    el('h3', null, isolated(title(i))),
    el('p', null, [moment(ev.at[i]), took(i), `event ${grouped(ev.serial[i])}`].filter(Boolean).join(' · ')),
  ];
  if (ev.detail[i]) out.push(el('p', { class: 'detail' }, isolated(text(ev.detail[i]))));
  const row = el('div', { class: 'row' });
  if (ev.cause[i] >= 0) row.append(link(ev.cause[i], '← cause'));
  if (ev.session[i]) {
    row.append(el('button', { type: 'button', onclick: () => filterSession(place(i)) }, 'only this session'));
    row.append(el('button', { type: 'button', onclick: () => openStory(place(i)) }, 'its history'));
  }
  row.append(el('button', { type: 'button', onclick: () => pin(null) }, 'let go'));
  out.push(row);
  if (place(i)) out.push(el('p', null, isolated(place(i))));
  const then = children(i);
  if (then.length) {
    out.push(
      el('p', null, 'What came of it:'),
      el(
        'div',
        { class: 'row' },
        then.slice(0, 8).map((k) => link(k, title(k))),
        then.length > 8 ? `and ${then.length - 8} more` : null,
      ),
    );
  }
  const vector = ev.vector[i] ? vectorOf(i) : null;
  if (vector) out.push(...vectorTable(i, vector));
  inspector.replaceChildren(...out);
}

function vectorTable(i, vector) {
  const words = el('p', null, isolated(`What ${text(ev.node[i])} then holds of ${text(ev.space[i])}:`));
  if (vector.token) return [words, el('p', { class: 'detail' }, isolated(vector.token))];
  const most = 60;
  return [
    words,
    el(
      'table',
      null,
      el(
        'tbody',
        null,
        vector.rows
          .slice(0, most)
          .map((row) =>
            el(
              'tr',
              null,
              el('td', null, isolated(row.origin)),
              el('td', { class: 'n' + (row.fresh ? ' new' : '') }, grouped(row.seq)),
            ),
          ),
      ),
    ),
    vector.rows.length > most ? el('p', null, `and ${vector.rows.length - most} more origins`) : null,
  ].filter(Boolean);
}
