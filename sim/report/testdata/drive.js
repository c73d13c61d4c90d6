// Helpers of the tests that drive a page. They stand behind the page's own script.

window.requestAnimationFrame = (draw) => setTimeout(draw, 0); // there is no window to paint
HTMLElement.prototype.setPointerCapture = () => {}; // there is no such pointer
const $ = (id) => document.getElementById(id);
const canvas = $('lanes');
const words = () => $('inspector').textContent;

function want(ok, ...what) {
  if (!ok) throw new Error('want ' + what.join(' '));
}

function key(k, n = 1) {
  for (let i = 0; i < n; i++) canvas.dispatchEvent(new KeyboardEvent('keydown', { key: k, bubbles: true }));
}

function pointer(type, x, y, more) {
  const box = canvas.getBoundingClientRect();
  const at = { clientX: box.left + x, clientY: box.top + y, bubbles: true, cancelable: true };
  if (type === 'wheel') canvas.dispatchEvent(new WheelEvent(type, { ...at, ...more }));
  else canvas.dispatchEvent(new PointerEvent(type, { ...at, pointerId: 1, ...more }));
}

function drag(x0, x1, more) {
  pointer('pointerdown', x0, 100, more);
  pointer('pointermove', x1, 100, more);
  pointer('pointerup', x1, 100, more);
}

function choose(id, value) {
  $(id).value = value;
  $(id).dispatchEvent(new Event('change'));
}

// drawn waits until what was asked for is in the picture.
const drawn = () => new Promise((done) => setTimeout(done, 5));

// fresh brings the page back to how it was loaded, with everything shown.
function fresh() {
  key('Escape');
  key('0');
  for (const chip of document.querySelectorAll('#groups button[aria-pressed=false]')) chip.click();
  for (const box of document.querySelectorAll('#lane-list input:not(:checked)')) box.click();
  choose('by-session', '');
}

// drive does one deed after the other; what came of them stands in data-result.
function drive(deeds) {
  const note = document.documentElement.dataset;
  let deed = '';
  const all = async () => {
    for (const [name, act] of Object.entries(deeds)) {
      deed = name;
      await act();
      fresh();
    }
  };
  setTimeout(() => {
    all().then(
      () => (note.result = 'ok'),
      (error) => (note.result = `${deed}: ${error.stack || error}`),
    );
  }, 0);
}
