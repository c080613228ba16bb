
'use strict';
(() => {
  const form = document.getElementById('check');
  if (!form) return;
  const [field, answer, history] = ['url', 'answer', 'history'].map((id) => document.getElementById(id));
  const KEY = 'checked', MOST = 20;

  const load = () => {
    try {
      const list = JSON.parse(localStorage.getItem(KEY));
      return Array.isArray(list) ? list.filter((entry) => entry && typeof entry.url === 'string') : [];
    } catch { return []; }
  };
  const save = (list) => {
    try { localStorage.setItem(KEY, JSON.stringify(list.slice(0, MOST))); } catch { /* no storage, no history */ }
    show();
  };
  const show = () => {
    const list = load();
    history.hidden = list.length === 0;
    history.querySelector('ul').replaceChildren(...list.map((entry) => {
      const item = document.createElement('li'), button = document.createElement('button');
      button.type = 'button';
      for (const [name, text] of [[`said ${entry.verdict}`, entry.verdict], ['link', entry.url], ['told', { yes: 'you: right', no: 'you: wrong' }[entry.feedback] || '']]) {
        const part = document.createElement('span');
        part.className = name;
        part.textContent = text;
        button.append(part);
      }
      button.title = `Check ${entry.url} again`;
      button.addEventListener('click', () => { field.value = entry.url; form.requestSubmit(); });
      item.append(button);
      return item;
    }));
  };
  const remember = () => {
    const card = answer.querySelector('[data-verdict]');
    if (!card) return;
    const { url, verdict, id } = card.dataset;
    const list = load();
    if (list.some((entry) => entry.id === id)) return;
    const before = list.find((entry) => entry.url === url && entry.verdict === verdict);
    save([{ url, verdict, id, feedback: before?.feedback }, ...list.filter((entry) => entry.url !== url)]);
  };
  const ask = async (data) => {
    const response = await fetch('/', { method: 'POST', headers: { 'x-fragment': '1' }, body: new URLSearchParams(data) });
    // What stands between may answer with a page of its own.
    if (!response.headers.has('x-fragment')) throw new Error(`status ${response.status}`);
    return { ok: response.ok, html: await response.text() };
  };
  const offline = () => document.getElementById('offline').content.cloneNode(true);

  let last = 0;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const mine = ++last;
    answer.setAttribute('aria-busy', 'true');
    let result;
    try { result = await ask(new FormData(form)); } catch { result = null; }
    if (mine !== last) return;
    if (result) answer.innerHTML = result.html; else answer.replaceChildren(offline());
    answer.removeAttribute('aria-busy');
    remember();
  });
  answer.addEventListener('submit', async (event) => {
    const said = event.target.closest('.feedback');
    if (!said) return;
    event.preventDefault();
    const value = event.submitter.value, id = said.elements.id.value;
    const data = new FormData(said);
    data.set('feedback', value);
    for (const button of said.querySelectorAll('button')) button.disabled = true;
    const note = document.createElement('div');
    let result;
    try { result = await ask(data); } catch { result = null; }
    if (result && result.ok) {
      note.innerHTML = result.html;
      said.replaceWith(note.firstElementChild);
      answer.querySelector('.thanks').focus();
      save(load().map((entry) => (entry.id === id ? { ...entry, feedback: value } : entry)));
      return;
    }
    for (const button of said.querySelectorAll('button')) button.disabled = false;
    said.querySelector('span').textContent = 'Not recorded: try again.';
  });
  document.getElementById('forget').addEventListener('click', () => { save([]); field.focus(); });
  remember();
  show();
})();
