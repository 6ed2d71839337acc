// Write plugins for Rapport in TypeScript: the roles of a plugin, and values between the contract and JavaScript.
//
// What a plugin may ask is imported from the contract itself, one interface at a time:
//
//   import { update } from 'rapport:plugin/records@0.1.0';
//
// A handler that returns keeps what it wrote, all of it; one that throws keeps nothing.

import type { Event } from 'rapport:plugin/trigger@0.1.0';
import type { Call, Change, Refusal, Request, Response, Step, Undone } from 'rapport:plugin/calls@0.1.0';
import type { Field, Value } from 'rapport:plugin/types@0.1.0';

export type { Call, Change, Event, Field, Refusal, Request, Response, Step, Undone, Value };

/** What a handler throws to end its slice: nothing that it wrote is kept. `retryable`: the same may succeed later. */
export class RapportError extends Error {
  constructor(readonly code: string, message: string, readonly retryable = false) {
    super(message);
  }
}

/** A decimal number, exactly as written: `decimal('19.90')`. */
export const decimal = (val: string): Value => ({ tag: 'decimal', val });
/** A day: `date('2026-03-01')`. */
export const date = (val: string): Value => ({ tag: 'date', val });
/** A record: `reference('customer/0190…')`. */
export const reference = (val: string): Value => ({ tag: 'reference', val });
/** An instant, in microseconds since 1970. */
export const timestamp = (val: bigint): Value => ({ tag: 'timestamp', val });
/** Any JSON. */
export const json = (of: unknown): Value => ({ tag: 'json', val: JSON.stringify(of) });

/** In place of a list of tags: adds these, whatever others do to the tags meanwhile: `fields({ tags: tag('vip') })`. */
export const tag = (...tags: string[]): Value => json({ add: tags });
/** In place of a list of tags: takes these away. */
export const untag = (...tags: string[]): Value => json({ remove: tags });
/** The tags of a record: `tagsOf(event.record?.fields)`. */
export const tagsOf = (from: Field[] | undefined): string[] => JSON.parse(String(read(from, 'tags') ?? '[]'));

/** What can be written as a field's value. A number must be whole: fractions are exact decimals, so write `decimal('1.5')`. */
export type Plain = null | undefined | boolean | bigint | number | string | Date | Value;

/** The contract's value of a JavaScript value. */
export function value(of: Plain): Value {
  switch (typeof of) {
    case 'undefined':
      return { tag: 'null' };
    case 'boolean':
      return { tag: 'boolean', val: of };
    case 'bigint':
      return { tag: 'integer', val: of };
    case 'string':
      return { tag: 'text', val: of };
    case 'number':
      if (!Number.isSafeInteger(of)) {
        throw new RapportError('invalid', `${of} is no whole number: write decimal('${of}')`);
      }
      return { tag: 'integer', val: BigInt(of) };
    default:
      if (of === null) return { tag: 'null' };
      if (of instanceof Date) return { tag: 'timestamp', val: BigInt(of.getTime()) * 1000n };
      return of;
  }
}

/** Fields to write: `fields({ notes: 'Welcome', points: 10 })`. */
export function fields(of: Record<string, Plain>): Field[] {
  return Object.entries(of).map(([name, plain]) => ({ name, value: value(plain) }));
}

/** The value of the field `name` as JavaScript has it: null, boolean, bigint (integer, timestamp) or string (all others). */
export function read(from: Field[] | undefined, name: string): null | boolean | bigint | string {
  const found = from?.find((field) => field.name === name);
  return found ? plain(found.value) : null;
}

/** A value of the contract as JavaScript has it: null, boolean, bigint (integer, timestamp) or string (all others). */
export function plain(of: Value): null | boolean | bigint | string {
  return of.tag === 'null' ? null : of.val;
}

// What a handler threw, as the contract wants it. An error of a call of the host carries it as its payload.
function thrown(error: unknown): never {
  if (error instanceof RapportError) {
    throw { code: error.code, message: error.message, retryable: error.retryable };
  }
  const payload = (error as { payload?: unknown } | null)?.payload;
  if (payload && typeof payload === 'object' && 'code' in payload) throw payload;
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  throw { code: 'failed', message, retryable: false };
}

function guarded<In, Out>(work: (input: In) => Out): (input: In) => Out {
  return (input) => {
    try {
      return work(input);
    } catch (error) {
      return thrown(error);
    }
  };
}

/** The role on-event: `export const onEvent = eventHandler((event) => { … });`. */
export const eventHandler = (work: (event: Event) => void) => ({ handle: guarded(work) });
/** The role on-schedule: `export const onSchedule = eventHandler(…)`. */
export const scheduleHandler = eventHandler;
/** The role on-action: what is returned is the output, `export const onAction = actionHandler((call, input) => ({ … }));`. */
export const actionHandler = (work: (call: Call, input: any) => unknown) => ({
  handle: guarded((call: Call) => JSON.stringify(work(call, JSON.parse(call.input)) ?? null)),
});
/** The role on-request. */
export const requestHandler = (work: (request: Request) => Response) => ({ handle: guarded(work) });
/** The role validator: returns why the change is refused, or nothing. */
export const validatorOf = (judge: (change: Change) => Refusal | undefined) => ({
  validate(change: Change): void {
    const refusal = judge(change);
    if (refusal) throw refusal;
  },
});
/** The role compensator. */
export const compensatorOf = (work: (undone: Undone) => void) => ({ compensate: guarded(work) });
/** The role migrator: returns where the next step begins, or nothing when all is done. */
export const migratorOf = (work: (step: Step) => string | undefined) => ({ migrate: guarded(work) });
