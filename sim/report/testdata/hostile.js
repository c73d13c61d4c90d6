// Touches everything on a page whose texts want to run.

drive({
  'all texts are shown': async () => {
    for (const option of document.querySelectorAll('#story option')) choose('story', option.value);
    key('n', 30);
    for (const link of document.querySelectorAll('a[data-at]')) link.click();
    await drawn();
    for (let x = 110; x < canvas.clientWidth; x += 13) {
      for (let y = 40; y < 400; y += 11) pointer('pointermove', x, y);
    }
    want(document.querySelectorAll('img, iframe').length === 0, 'no element of others');
    want(document.body.textContent.includes('<img src=x'), 'their text');
  },
});
