// A classic script in the head: it runs before the first paint, so that no wrong colour flashes.
document.documentElement.dataset.theme = 'system';
try {
  // The key is that of chat/storage.js.
  const path = new URL('.', location.href).pathname.slice(0, -1);
  const stored = JSON.parse(localStorage.getItem(`pocket-chat${path}:theme`) ?? 'null');
  if (stored) document.documentElement.dataset.theme = stored;
} catch {
  // Accepted: where nothing can be stored, no choice is.
}
