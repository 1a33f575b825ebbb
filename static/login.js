// Whether this browser has to log in again: its cookie expired, or the password was changed. A
// script cannot see that a WebSocket was refused with 403.

/** Reload the page if the server would answer with its login page. Drafts are stored by now. */
export async function showLoginIfAsked() {
  const { status } = await fetch(location.href).catch(Response.error);
  if (status === 401) location.reload();
}
