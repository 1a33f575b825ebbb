// A conversation as this page knows it, and what each frame does to it.
// Pure: no document, no socket, no clock; every function returns a new conversation.
//
//   turns    what the server has: { id, question, answer, reasoning, status, error? }
//   waiting  what this browser sent and the server has not shown yet: { id, content, replaces?, error? };
//            with an error it was refused, and waits for the person instead

const BLANK = { answer: '', reasoning: '' };
const SAID = {
  done: 'Reply complete', length: 'Reply complete', filtered: 'Reply complete',
  stopped: 'Stopped', interrupted: 'The reply was interrupted',
};

export function fresh(id = null, waiting = []) {
  return { id, waiting, turns: [], loaded: !id, limit: Infinity, trouble: '' };
}

export function apply(conversation, { type, turn: id, ...frame }) {
  const { turns, waiting } = conversation;
  const known = (list) => list.find((item) => item.id === id);
  const changed = (change) => ({ ...conversation, turns: put(turns, id, change) });
  switch (type) {
    case 'conversation':
      return { ...conversation, ...frame };
    case 'history':
      return arrived({ ...conversation, loaded: true, turns: frame.turns.map((turn) => ({ ...BLANK, ...turn })) });
    case 'start': {
      const turn = { id, question: frame.question, ...BLANK, status: 'open' };
      return arrived(known(turns) ? changed(turn) : { ...conversation, turns: [...turns, turn] });
    }
    case 'chunk': {
      const part = frame.kind === 'reasoning' ? 'reasoning' : 'answer';
      return changed({ [part]: known(turns)?.[part] + frame.content });
    }
    case 'error':
      if (!known(turns) && !known(waiting)) return { ...conversation, trouble: frame.content };
      return { ...changed({ error: frame }), waiting: put(waiting, id, { error: frame }) };
    case 'end':
      return changed({ status: frame.status });
    default:
      return conversation;
  }
}

/** The message goes to the end of the line; a refused one with this id is tried again. */
export function send(conversation, message) {
  const { waiting } = withdraw(conversation, message.id);
  return { ...conversation, trouble: '', waiting: [...waiting, message] };
}

/** Take back a message that the server has not shown. */
export function withdraw(conversation, id) {
  return { ...conversation, waiting: conversation.waiting.filter((message) => message.id !== id) };
}

/** Everything a person should see, in order: the server's turns, less what is being replaced, then what waits. */
export function shown({ turns, waiting }) {
  const all = [...turns];
  for (const { id, content: question, replaces, error } of waiting) {
    const at = error ? -1 : all.findIndex((turn) => turn.id === replaces);
    if (at >= 0) all.splice(at);
    all.push({ id, question, ...BLANK, status: error ? 'refused' : 'waiting', error });
  }
  return all;
}

/** Whether somebody may wait for more of a turn. */
export const isOpen = ({ status }) => status === 'open' || status === 'waiting';

/** The turn that a stop would stop: the first that is waited for or being written. */
export const current = (conversation) => shown(conversation).find(isOpen);

/** What a screen reader should hear of the step from one conversation to the next: { say, alarm }. */
export function news(before, after) {
  if (before.id && before.id !== after.id) return {};
  const was = new Map(shown(before).map((turn) => [turn.id, turn]));
  const heard = {};
  for (const { id, status, error } of shown(after)) {
    const then = was.get(id);
    if (status === then?.status) continue;
    if (status === 'open' && before.loaded) heard.say = 'Assistant is replying';
    else if (then && error) heard.alarm = error.content;
    else if (then && SAID[status]) heard.say = SAID[status];
  }
  if (after.trouble !== before.trouble) heard.alarm = after.trouble;
  return heard;
}

const put = (list, id, change) => list.map((item) => (item.id === id ? { ...item, ...change } : item));

/** A message that shows among the turns has arrived, also when this page never heard so. */
function arrived(conversation) {
  return conversation.turns.reduce((left, { id }) => withdraw(left, id), conversation);
}
