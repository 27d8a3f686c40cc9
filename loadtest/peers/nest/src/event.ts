// The body of a single and an item of a batch, with Weir's rules but for the depth of the metadata.
import { plainToInstance } from 'class-transformer';
import {
  ArrayMaxSize, IsArray, IsIn, IsNotEmpty, IsNumber, IsObject, IsOptional, IsString, Length, Matches, MaxLength, Validate,
  ValidatorConstraint, type ValidatorConstraintInterface, validateSync,
} from 'class-validator';
import { randomUUID } from 'node:crypto';

const MAX_AHEAD_MS = 300_000;
const MAX_AGE_MS = 1_825 * 86_400_000;
const MAX_BATCH = 1_000;

@ValidatorConstraint({ name: 'moment' })
class Moment implements ValidatorConstraintInterface {
  /** Whole Unix seconds or an RFC 3339 time, not too far ahead or back. */
  validate(given: unknown): boolean {
    const age = Date.now() - milliseconds(given);
    return age >= -MAX_AHEAD_MS && age <= MAX_AGE_MS;
  }

  defaultMessage(): string {
    return 'timestamp must be whole Unix seconds or an RFC 3339 time, not too far ahead or back';
  }
}

function milliseconds(given: unknown): number {
  if (typeof given === 'number') return Number.isInteger(given) ? given * 1_000 : NaN;
  return typeof given === 'string' && /^\d{4}-\d\d-\d\dT/.test(given) ? Date.parse(given) : NaN;
}

export class EventBody {
  @IsOptional() @IsString() @Length(1, 128) @Matches(/^[!-~]+$/)
  event_id?: string;

  @IsString() @MaxLength(255) @IsNotEmpty() @Matches(/\S/)
  event_name: string;

  @IsString() @MaxLength(255) @IsNotEmpty() @Matches(/\S/)
  user_id: string;

  @IsOptional() @IsIn(['web', 'mobile', 'api', 'email', 'push'])
  channel?: string;

  @IsOptional() @IsString() @MaxLength(255)
  source?: string;

  @IsOptional() @IsString() @MaxLength(255)
  campaign_id?: string;

  @IsOptional() @Validate(Moment)
  timestamp?: number | string;

  @IsOptional() @IsArray() @ArrayMaxSize(32) @IsString({ each: true }) @MaxLength(255, { each: true })
  tags?: string[];

  @IsOptional() @IsNumber()
  value?: number;

  @IsOptional() @IsIn([1])
  schema_version?: number;

  @IsOptional() @IsObject()
  metadata?: Record<string, unknown>;
}

export class BatchBody {
  // Judged one by one by `judge`: nested rules here would refuse the batch for one of them.
  @IsArray() @ArrayMaxSize(MAX_BATCH) @IsNotEmpty()
  events: unknown[];
}

/** What is wrong with an item of a batch; nothing when it is sound. */
export function judge(item: unknown): { event: EventBody; faults: string[] } {
  const event = plainToInstance(EventBody, item);
  const faults = typeof item === 'object' && item !== null && !Array.isArray(item) ? validateSync(event) : ['an object is needed'];
  return { event, faults: faults.map(String) };
}

/** What the queue gets. */
export function toRecord(event: EventBody, account: string, receivedAt: Date) {
  const at = event.timestamp === undefined ? receivedAt : new Date(milliseconds(event.timestamp));
  return {
    event_id: event.event_id ?? randomUUID(),
    account_id: account,
    event_name: event.event_name,
    user_id: event.user_id,
    channel: event.channel ?? 'api',
    source: event.source ?? null,
    campaign_id: event.campaign_id ?? null,
    timestamp: at.toISOString(),
    tags: event.tags ?? [],
    value: event.value ?? null,
    schema_version: 1,
    metadata: event.metadata ?? null,
    received_at: receivedAt.toISOString(),
  };
}
