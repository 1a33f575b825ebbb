// A classic script in the head: what has to happen before the first paint, and before anything is
// fetched or stored.
{
  // A link to a conversation leaves the address at once, where it could be seen or copied by
  // mistake. travel.js finds it in the history.
  const [, linked] = location.hash.split('#conversation=');
  if (linked !== undefined) {
    history.replaceState({ linked }, '', location.pathname + location.search);
  }
  const { dataset } = document.documentElement;
  // So that no wrong colour flashes.
  dataset.theme = 'system';
  try {
    const stored = JSON.parse(localStorage.getItem('pocket-chat:theme') ?? 'null');
    if (stored) dataset.theme = stored;
    const hasOpen =
      localStorage.getItem('pocket-chat:open') ?? sessionStorage.getItem('pocket-chat:open:tab');
    // Nothing will be opened, so the empty page does not wait for the other scripts.
    if (hasOpen === null && linked === undefined && !history.state?.conversation) {
      dataset.fresh = '';
    }
  } catch {
    // Accepted: where nothing can be stored, no choice is.
  }
}
