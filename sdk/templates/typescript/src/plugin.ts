// Greets new customers in their notes.
import { update } from 'rapport:plugin/records@0.1.0';
import { get as setting } from 'rapport:plugin/settings@0.1.0';
import { RapportError, eventHandler, fields, plain, read } from '../sdk/rapport';

export const onEvent = eventHandler((event) => {
  const customer = event.record;
  if (!customer) throw new RapportError('gone', 'the customer is gone');
  const name = read(customer.fields, 'name') ?? 'stranger';
  update('customer', customer.id, fields({ notes: `${plain(setting('greeting'))}, ${name}` }));
});
