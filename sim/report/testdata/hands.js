// What a person does, on the page of a broken run.

drive({
  'step, pin, cause, let go': async () => {
    key(']', 2);
    key('n', 3);
    await drawn();
    want(words().includes('event '), 'a pinned event, have', words());
    const first = words();
    key('n');
    want(words() !== first, 'n to go on');
    key('p');
    want(words() === first, 'p to go back');
    const caused = () => [...$('inspector').querySelectorAll('button')].some((b) => b.textContent.includes('cause'));
    for (let i = 0; i < 200 && !caused(); i++) key('n');
    const before = words();
    key('c');
    want(words() !== before, 'c to go to the cause');
    key('Escape');
    want(words().includes('How to read it'), 'Escape to let go');
  },

  'a commit shows its vector': async () => {
    for (let i = 0; i < 400 && !$('inspector').querySelector('table'); i++) key('n');
    const rows = [...$('inspector').querySelectorAll('tr')].map((row) => row.textContent);
    want(rows.length > 0, 'rows of a vector');
    want(
      rows.every((row) => /^(core|edge)-\d~[0-9a-f]+\d+$/.test(row)),
      'origins with numbers, have',
      rows.join(),
    );
    want($('inspector').querySelector('.new'), 'the new entry to be marked');
  },

  'hover says what it is': async () => {
    document.querySelector('#faults a[data-at]').click();
    await drawn();
    const seen = new Set();
    for (let y = 40; y < canvas.clientHeight; y += 6) {
      for (let x = 110; x < canvas.clientWidth; x += 7) {
        pointer('pointermove', x, y);
        if (!$('tip').hidden) seen.add($('tip').textContent);
      }
    }
    const all = [...seen].join('\n');
    for (const part of [
      'asks edge-',
      'durable at',
      'holds edge-',
      'arrived at',
      'bad link: edge-3',
      'after it was sent',
    ]) {
      want(all.includes(part), 'a tip with', part, 'have', all.slice(0, 4000));
    }
    pointer('pointerleave', 0, 0);
    want($('tip').hidden, 'no tip outside');
  },

  'keys and mouse move the view': async () => {
    const pictures = new Set();
    const look = async (count, ...what) => {
      await drawn();
      pictures.add(canvas.toDataURL());
      want(pictures.size === count, `${count} pictures after`, ...what, 'have', pictures.size);
    };
    await look(1, 'loading');
    key('+', 3);
    await look(2, '+');
    key('ArrowRight', 2);
    await look(3, 'an arrow');
    key('e');
    await look(4, 'even spacing');
    key('e');
    key('0');
    await look(4, 'going back to the whole run');
    drag(300, 400, { shiftKey: true });
    await look(5, 'a drag with Shift');
    drag(300, 500);
    await look(6, 'a drag');
    canvas.blur();
    pointer('wheel', 500, 200, { deltaY: -300 });
    await look(6, 'the wheel without focus, which scrolls the page');
    canvas.focus();
    pointer('wheel', 500, 200, { deltaY: -300 });
    await look(7, 'the wheel');
    document.querySelector('[data-key=fit]').click();
    await look(7, 'the button for the whole run');
  },

  'groups, sessions and lanes are filtered': async () => {
    const ink = () => {
      const data = canvas.getContext('2d').getImageData(120, 40, canvas.width - 130, canvas.height - 60).data;
      let n = 0;
      for (let i = 3; i < data.length; i += 4) if (data[i]) n++;
      return n;
    };
    const all = ink();
    for (const chip of document.querySelectorAll('#groups button[aria-pressed=true]')) chip.click();
    await drawn();
    const none = ink();
    want(none < all * 0.8, 'less ink without groups:', none, 'of', all);
    fresh();
    choose('by-session', 'default/s-1');
    await drawn();
    const one = ink();
    want(one < all && one > none, 'some ink for one session:', one, 'between', none, 'and', all);
    const tall = canvas.clientHeight;
    $('lane-list').querySelector('input').click();
    await drawn();
    want(canvas.clientHeight < tall, 'a lane less');
  },

  'a violation leads into diagram and history': async () => {
    document.querySelector('.problems a[data-problem]').click();
    await drawn();
    want(words().includes('edge-8 does not show'), 'the violation beside the diagram, have', words());
    document.querySelector('a[data-story]').click();
    want($('story').value === 'default/s-1', 'the session');
    const told = $('told').textContent;
    want(told.includes('The nodes show 2 different things'), 'two endings');
    want(told.includes('missing here'), 'what is missing');
    want($('told').querySelectorAll('tr.bad').length === 1, 'the call that is named');
    $('told').querySelector('tr button').click();
    want(words().includes('event '), 'the call in the diagram');
  },
});
