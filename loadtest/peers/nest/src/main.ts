// The same door as Weir's by the usual means of Node: Nest on Fastify with class-validator, fast-jwt and a BullMQ queue. It runs as
// one would run it: no line a request, one process as in a container of its own. What its 202 says is less than Weir's: the event
// is in the memory of one Redis, not in a replicated log, and a worker has yet to bring it there.
import 'reflect-metadata';
import { BullModule, InjectQueue } from '@nestjs/bullmq';
import {
  Body, Controller, HttpCode, Module, Post, Res, ServiceUnavailableException, UseGuards, ValidationPipe,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type JobsOptions, Queue } from 'bullmq';
import type { FastifyReply } from 'fastify';
import { BatchBody, EventBody, judge, toRecord } from './event.js';
import { Account, TokenGuard } from './token.js';

const QUEUE = 'events';
const KEEP: JobsOptions = { removeOnComplete: true, attempts: 5 };
const redis = new URL(process.env.PEER_REDIS ?? 'redis://127.0.0.1:6379/1');

@Controller('v1/events')
@UseGuards(TokenGuard)
class Events {
  constructor(@InjectQueue(QUEUE) private readonly queue: Queue) {}

  @Post()
  @HttpCode(202)
  async single(@Body() body: EventBody, @Account() account: string) {
    const record = toRecord(body, account, new Date());
    const job = await this.queue.add('event', record, KEEP).catch(refuse);
    return { status: 'accepted', event_id: record.event_id, receipt: `${QUEUE}/0/${job.id}` };
  }

  @Post('batch')
  async batch(@Body() body: BatchBody, @Account() account: string, @Res({ passthrough: true }) reply: FastifyReply) {
    const now = new Date();
    const judged = body.events.map(judge);
    const sound = judged.filter(({ faults }) => faults.length === 0).map(({ event }) => toRecord(event, account, now));
    const jobs = await this.queue.addBulk(sound.map((data) => ({ name: 'event', data, opts: KEEP }))).catch(refuse);
    let next = 0;
    const results = judged.map(({ event, faults }) => {
      if (faults.length > 0) return { status: 'rejected', event_id: event?.event_id, faults };
      const place = next++;
      return { status: 'accepted', event_id: sound[place].event_id, receipt: `${QUEUE}/0/${jobs[place].id}` };
    });
    reply.status(sound.length === judged.length ? 202 : 207);
    return { results };
  }
}

function refuse(): never {
  throw new ServiceUnavailableException('the queue did not take it');
}

@Module({
  imports: [
    BullModule.forRoot({
      connection: {
        host: redis.hostname,
        port: Number(redis.port),
        username: redis.username || undefined,
        password: redis.password || undefined,
        db: Number(redis.pathname.slice(1) || 0),
        enableAutoPipelining: true,
      },
    }),
    BullModule.registerQueue({ name: QUEUE }),
  ],
  controllers: [Events],
})
class App {}

const app = await NestFactory.create<NestFastifyApplication>(App, new FastifyAdapter({ bodyLimit: 2 << 20 }), {
  logger: ['error', 'warn'],
});
app.useGlobalPipes(new ValidationPipe({ transform: true }));
app.enableShutdownHooks();
const [host, port] = (process.env.PEER_LISTEN ?? '127.0.0.1:3000').split(':');
await app.listen(Number(port), host);
