-- Tells that an instance lives, and how many do.
--
-- KEYS[1]  sorted set of instances by last sign of life: <prefix>:limit:instances
-- ARGV     instance, time_to_live_ms
-- Reply    how many gave a sign within the time to live, this one included
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now - ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
