// A classic script in the head: what has to happen before the first paint, and before anything is
// fetched or stored.
{
  const { dataset } = document.documentElement;
  // The names of what is stored are those of chat/storage.js.
  const chat = `pocket-chat${new URL('.', location.href).pathname.slice(0, -1)}`;
  const isLogin = document.currentScript?.dataset.page === 'login';
  let linked = location.hash.split('#conversation=').at(1);
  // So that no wrong colour flashes.
  dataset.theme = 'system';
  try {
    const stored = JSON.parse(localStorage.getItem(`${chat}:theme`) ?? 'null');
    if (stored) dataset.theme = stored;
    // Logging in leads to another entry of the history: the link waits here meanwhile.
    if (isLogin && linked !== undefined) sessionStorage.setItem(`${chat}:linked`, linked);
    if (!isLogin) {
      linked ??= sessionStorage.getItem(`${chat}:linked`) ?? undefined;
      sessionStorage.removeItem(`${chat}:linked`);
    }
    const hasOpen =
      localStorage.getItem(`${chat}:open`) ?? sessionStorage.getItem(`${chat}:open:tab`);
    // Nothing will be opened, so the empty page does not wait for the other scripts.
    if (hasOpen === null && linked === undefined && !history.state?.conversation) {
      dataset.fresh = '';
    }
  } catch {
    // Accepted: where nothing can be stored, no choice is.
  }
  // A link to a conversation leaves the address at once, where it could be seen or copied by
  // mistake. travel.js finds it in the history.
  if (linked !== undefined) {
    history.replaceState({ linked }, '', location.pathname + location.search);
  }
}
