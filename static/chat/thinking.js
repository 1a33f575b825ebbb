// How long the model thought before its answer. Pure. It is known only to the page that watched.

/** @import { Part, Turn } from './conversation.js' */

/**
 * What changes in a turn with the first text of a part, or with its end.
 * @type {(turn: Turn | undefined, part: Part | 'end', now: number) => Partial<Turn>}
 */
export function thinkingTime(turn, part, now) {
  if (part === 'reasoning') return { thinkingSince: now };
  if (!turn?.thinkingSince || turn.thoughtFor) return {};
  return { thoughtFor: now - turn.thinkingSince };
}

/** @type {(turn: Turn) => string} */
export function thinkingLabel({ answer, status, thoughtFor }) {
  if (status === 'open' && !answer) return 'Thinking';
  if (thoughtFor === undefined) return 'Thought';
  const seconds = Math.max(1, Math.round(thoughtFor / 1000));
  const minutes = Math.floor(seconds / 60);
  return `Thought for ${minutes ? `${minutes} min ` : ''}${seconds % 60} s`;
}
