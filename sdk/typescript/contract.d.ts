// The contract `rapport:plugin@0.1.0` in TypeScript: what sdk/wit/0.1 says, as componentize-js presents it. Where the contract answers
// a result, the function returns the value and throws an object whose `payload` is the error.

declare module 'rapport:plugin/types@0.1.0' {
  export type Value =
    | { tag: 'null' }
    | { tag: 'boolean'; val: boolean }
    | { tag: 'integer'; val: bigint }
    | { tag: 'decimal'; val: string }
    | { tag: 'text'; val: string }
    | { tag: 'date'; val: string }
    | { tag: 'timestamp'; val: bigint }
    | { tag: 'reference'; val: string }
    | { tag: 'json'; val: string };
  export interface Field { name: string; value: Value }
  export interface RecordData {
    object: string;
    id: string;
    version: bigint;
    createdAt: bigint;
    updatedAt: bigint;
    fields: Field[];
  }
  export interface Error { code: string; message: string; retryable: boolean }
}

declare module 'rapport:plugin/trigger@0.1.0' {
  import type { Field, RecordData } from 'rapport:plugin/types@0.1.0';
  export interface Event {
    position: bigint;
    kind: string;
    subject: string;
    time: bigint;
    recordedAt: bigint;
    actor: string;
    depth: number;
    data: Field[];
    before: Field[];
    after: Field[];
    delta: Field[];
    record?: RecordData;
  }
}

declare module 'rapport:plugin/records@0.1.0' {
  import type { Field, RecordData, Value } from 'rapport:plugin/types@0.1.0';
  export interface Page { order: string; limit: number; after: string }
  export function get(object: string, key: string): RecordData | undefined;
  export function find(object: string, where: string, params: Field[], page: Page): RecordData[];
  export function count(object: string, where: string, params: Field[]): bigint;
  export function create(object: string, fields: Field[]): RecordData;
  export function update(object: string, key: string, fields: Field[]): void;
  export function increment(object: string, key: string, field: string, delta: Value): void;
  export function upsert(object: string, by: string, fields: Field[]): RecordData;
  function remove(object: string, key: string): boolean;
  export { remove as delete };
}

declare module 'rapport:plugin/query@0.1.0' {
  import type { Field, Value } from 'rapport:plugin/types@0.1.0';
  export interface Selection {
    object: string;
    fields: string[];
    where: string;
    params: Field[];
    order: string;
    limit: number;
    cursor: string;
  }
  export interface Rows { rows: Value[][]; next?: string }
  export interface Measure { kind: string; field: string }
  export interface Grouping { object: string; where: string; params: Field[]; groupBy: string[]; measures: Measure[] }
  export function select(selection: Selection): Rows;
  export function aggregate(grouping: Grouping): Value[][];
}

declare module 'rapport:plugin/events@0.1.0' {
  import type { Field } from 'rapport:plugin/types@0.1.0';
  export function emit(kind: string, subject: string, data: Field[]): void;
}

declare module 'rapport:plugin/flow@0.1.0' {
  import type { Field } from 'rapport:plugin/types@0.1.0';
  import type { Event } from 'rapport:plugin/trigger@0.1.0';
  export interface Question { who: string; title: string; body: string; choices: string[]; about: string; timeout: string }
  export interface Answer { choice: string; by: string; timedOut: boolean; task: string }
  export interface Alternative { kind: string; where: string; params: Field[] }
  export interface Arrival { index: number; event: Event }
  export function sleep(span: string): void;
  export function sleepUntil(instant: bigint): void;
  export function waitFor(kind: string, where: string, params: Field[], timeout: string): Event | undefined;
  export function ask(question: Question): Answer;
  export function waitAny(alternatives: Alternative[], timeout: string): Arrival | undefined;
  export function lock(key: string): void;
  export function invoke(automation: string, input: string): string;
  export function reply(value: string): void;
}

declare module 'rapport:plugin/http@0.1.0' {
  export interface Header { name: string; value: string }
  export interface Request {
    method: string;
    url: string;
    headers: Header[];
    body: Uint8Array;
    secret: string;
    secretHeader: string;
    timeout: string;
    deadline: string;
    attempts: number;
  }
  export interface Response { status: number; headers: Header[]; body: Uint8Array }
  export function call(request: Request): Response;
}

declare module 'rapport:plugin/messages@0.1.0' {
  import type { Field } from 'rapport:plugin/types@0.1.0';
  export function send(channel: string, to: string, template: string, data: Field[]): string;
}

declare module 'rapport:plugin/kv@0.1.0' {
  export interface Entry { key: string; value: Uint8Array }
  export function get(key: string): Uint8Array | undefined;
  export function set(key: string, value: Uint8Array): void;
  export function list(prefix: string, after: string, limit: number): Entry[];
  export function increment(key: string, delta: bigint): bigint;
  function remove(key: string): boolean;
  export { remove as delete };
}

declare module 'rapport:plugin/files@0.1.0' {
  export interface Owner { object: string; id: string }
  export interface FileInfo {
    id: string;
    name: string;
    mediaType: string;
    size: bigint;
    sha256: string;
    attached?: Owner;
    createdAt: bigint;
  }
  export function put(name: string, mediaType: string, content: Uint8Array, attached: Owner | undefined): FileInfo;
  export function info(id: string): FileInfo | undefined;
  export function read(id: string, offset: bigint, length: number): Uint8Array;
  export function attached(object: string, id: string, after: string, limit: number): FileInfo[];
  function remove(id: string): boolean;
  export { remove as delete };
}

declare module 'rapport:plugin/search@0.1.0' {
  import type { Field } from 'rapport:plugin/types@0.1.0';
  export interface Options { fields: string[]; where: string; params: Field[]; limit: number }
  export interface Span { start: number; end: number }
  export interface Snippet { field: string; text: string; matches: Span[] }
  export interface Hit { id: string; score: number; snippet: Snippet }
  export function find(object: string, text: string, options: Options): Hit[];
}

declare module 'rapport:plugin/calendars@0.1.0' {
  export function due(calendar: string, start: bigint, span: string): bigint;
  export function elapsed(calendar: string, start: bigint, end: bigint): bigint;
}

declare module 'rapport:plugin/settings@0.1.0' {
  import type { Value } from 'rapport:plugin/types@0.1.0';
  export function get(name: string): Value;
}

declare module 'rapport:plugin/secrets@0.1.0' {
  export function exists(name: string): boolean;
  export function hmacSha256(name: string, message: Uint8Array): Uint8Array;
}

declare module 'rapport:plugin/scripts@0.1.0' {
  export function run(script: string, fn: string, args: string): string;
}

declare module 'rapport:plugin/jobs@0.1.0' {
  export function start(action: string, input: string, at: bigint | undefined): string;
}

declare module 'rapport:plugin/context@0.1.0' {
  export function run(): string;
  export function plugin(): string;
  export function actor(): string;
  export function slice(): number;
}

declare module 'rapport:plugin/log@0.1.0' {
  export type Level = 'debug' | 'info' | 'warn' | 'error';
  export function write(level: Level, message: string): void;
}

declare module 'rapport:plugin/clock@0.1.0' {
  export function now(): bigint;
}

declare module 'rapport:plugin/random@0.1.0' {
  export function bytes(count: number): Uint8Array;
}

declare module 'rapport:plugin/calls@0.1.0' {
  import type { Field } from 'rapport:plugin/types@0.1.0';
  import type { Event } from 'rapport:plugin/trigger@0.1.0';
  export interface Call { action: string; input: string; caller: string; eventPosition: bigint }
  export interface Pair { name: string; value: string }
  export interface Request {
    route: string;
    method: string;
    path: string;
    pathParams: Pair[];
    query: Pair[];
    headers: Pair[];
    body: Uint8Array;
    actor: string;
  }
  export interface Response { status: number; headers: Pair[]; body: Uint8Array }
  export interface Change { object: string; id: string; operation: string; before: Field[]; after: Field[]; actor: string }
  export interface Refusal { code: string; message: string; field: string }
  export interface Undone { run: string; automationDigest: string; event?: Event; action?: Call }
  export interface Step { from: string; to: string; cursor: string; dryRun: boolean }
}
