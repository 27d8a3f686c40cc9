// The ramp of the load test in k6: 2,000 events/s, a climb to 20,000, then 20,000, in batches of 100 by many accounts. Run it by
// `make k6`. The rate is k6's arrival rate, so it does not wait for answers; what k6 could not start in time is counted in
// dropped_iterations and breaks a threshold, since a load that was not offered proves nothing.
import http from 'k6/http';
import { check } from 'k6';
import { Counter } from 'k6/metrics';
import { SharedArray } from 'k6/data';
import { scenario } from 'k6/execution';

const BATCH = 100;
const LOW = 2000 / BATCH;
const PEAK = Number(__ENV.PEAK || 20000) / BATCH;
const SECONDS = Number(__ENV.SECONDS || 60);
const share = (part) => `${Math.max(1, Math.round(part * SECONDS))}s`;

// One token an account, made by loadtest/k6/run.sh.
const tokens = new SharedArray('tokens', () => open(__ENV.TOKENS).trim().split('\n'));
const accepted = new Counter('events_accepted');

export const options = {
  discardResponseBodies: true,
  scenarios: {
    ramp: {
      executor: 'ramping-arrival-rate',
      startRate: LOW,
      timeUnit: '1s',
      preAllocatedVUs: 128,
      maxVUs: 512,
      stages: [
        { target: LOW, duration: share(0.1) },
        { target: PEAK, duration: share(0.6) },
        { target: PEAK, duration: share(0.3) },
      ],
    },
  },
  thresholds: {
    http_req_duration: ['p(95)<60', 'p(99)<150'],
    http_req_failed: ['rate<0.01'],
    checks: ['rate>0.99'],
    dropped_iterations: ['rate<1'],
  },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
};

const NAMES = ['page_view', 'click', 'add_to_cart', 'purchase', 'signup'];
const CHANNELS = ['web', 'mobile', 'api', 'email', 'push'];

// About 400 bytes, as the project's own generator sends them.
function event(number, seconds) {
  return {
    event_id: `k6-${__ENV.RUN}-${number}`,
    event_name: NAMES[number % 5],
    user_id: `user-${number % 10000}`,
    channel: CHANNELS[number % 7 % 5],
    source: 'k6',
    campaign_id: `autumn-${number % 7}`,
    timestamp: seconds,
    tags: ['synthetic', 'load'],
    value: (number % 100000) / 100,
    metadata: {
      sequence: number,
      page: `/products/${number % 5000}`,
      referrer: 'https://shop.example/search?q=weir',
      session: (number * 2654435761 % 4294967296).toString(16).padStart(16, '0'),
      viewport: [1440, 900],
      experiment: 'b',
      agent: 'k6',
    },
  };
}

export default function () {
  const request = scenario.iterationInTest;
  const seconds = Math.floor(Date.now() / 1000);
  const events = Array.from({ length: BATCH }, (_, place) => event(request * BATCH + place, seconds));
  const answer = http.post(`${__ENV.WEIR_URL}/v1/events/batch`, JSON.stringify({ events }), {
    headers: { 'content-type': 'application/json', authorization: `Bearer ${tokens[request % tokens.length]}` },
    timeout: '17s',
  });
  // 202 means that all of them were taken; 207 that some were not.
  if (check(answer, { 'all taken': (it) => it.status === 202 })) accepted.add(BATCH);
}

export function handleSummary(data) {
  const { http_req_duration: duration, http_req_failed: failed, events_accepted: taken, dropped_iterations: dropped } = data.metrics;
  const held = Object.values(data.metrics).every(({ thresholds }) => Object.values(thresholds ?? {}).every(({ ok }) => ok));
  const result = {
    tool: 'k6',
    seconds: data.state.testRunDurationMs / 1000,
    peak_events_per_second: PEAK * BATCH,
    events_accepted: taken?.values.count ?? 0,
    errors_percent: failed.values.rate * 100,
    dropped_batches: dropped?.values.count ?? 0,
    latency_ms: duration.values,
    limits: { p95_ms: 60, p99_ms: 150, errors_percent: 1 },
    passed: held,
  };
  const text = `${JSON.stringify(result, null, 2)}\n`;
  return { stdout: text, [__ENV.RESULTS]: text };
}
