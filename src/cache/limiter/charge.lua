-- Charges one account against its sliding windows, renews one instance's lease, answers what is left. One atomic step; its cost
-- depends on the number of policies and on buckets passed since the last call, not on traffic. domain/ring/state.rs is the same
-- arithmetic in Rust; a test runs both on the same traces.
--
-- KEYS[1]  hash of the account: <prefix>:limit:{<account>}
--          fields: h = instances "name leased_events leased_bytes seen number granted_events granted_bytes;…"; per policy letter p: pl = last bucket, ps = sum, pk = bank,
--          p0…pN = buckets (absent = 0)
-- ARGV     instance, number, unheard, sharers, hold_ttl_us, key_ttl_ms, need_events, need_bytes,
--          keep_events, wish_events, keep_bytes, wish_bytes,
--          n, n × (letter, unit, enforced 0|1, limit, bank, kind, a, b, c, d)
--             kind 0: sliding, a buckets of b us, edges moved by c us; kind 1: calendar, period a is [b, c), the next [c, d)
--          n, n × (age_us, amount, first) spent of leased events; the same of leased bytes; the same of refunded events
-- Reply    now_us, granted_events, granted_bytes, lease_events, lease_bytes, n × (used, capacity), denied_by (-1: nobody), wait_us, earliest_us
--
-- All enforced policies are looked at before anything is charged. Bytes are granted all or nothing, and events, once their
-- bytes are, one by one while every policy has room. Units granted or leased never exceed the room. Time is Redis' own.
--
-- Questions and answers get lost or come late, so an instance numbers its questions (0: it does not). One whose number is not above
-- the last changes nothing. What was told first under a number up to the last is known. What was granted last is taken back when
-- the answer was not heard: when that number is `unheard` or above.

local key = KEYS[1]
local cursor = 0
local function arg()
  cursor = cursor + 1
  return ARGV[cursor]
end
local function number() return tonumber(arg()) end

local instance, asked, unheard, sharers, hold_ttl, key_ttl = arg(), number(), number(), number(), number(), number()
local need = { number(), number() }
local keep, wish = {}, {}
for u = 1, 2 do keep[u], wish[u] = number(), number() end

local rules = {}
for i = 1, number() do
  local letter, of, enforced, limit, bank, kind = arg(), number() + 1, number() == 1, number(), number(), number()
  rules[i] = { letter = letter, unit = of, enforced = enforced, limit = limit, cap = bank, calendar = kind == 1,
    a = number(), b = number(), c = number(), d = number() }
end
local function dated()
  local list = {}
  for i = 1, number() do list[i] = { age = number(), amount = number(), first = number() } end
  return list
end
local spent = { dated(), dated() }
local refunds = dated()

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local wanted = { 'h' }
for _, rule in ipairs(rules) do
  for _, part in ipairs({ 'l', 's', 'k' }) do wanted[#wanted + 1] = rule.letter .. part end
end
local stored = redis.call('HMGET', key, unpack(wanted))
local writes, removals = {}, {}
local function write(field, value)
  writes[#writes + 1] = field
  writes[#writes + 1] = string.format('%.0f', value)
end

-- Leases of instances that have not spoken for too long may have been spent: they count as spent now.
local others, held, lost = {}, { 0, 0 }, { 0, 0 }
local last = { amounts = { 0, 0 }, seen = 0, number = 0, granted = { 0, 0 } }
local record = '((%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+);)'
for whole, name, events, bytes, seen, numbered, more_events, more_bytes in string.gmatch(stored[1] or '', record) do
  local amounts = { tonumber(events), tonumber(bytes) }
  if name == instance then
    last = { amounts = amounts, seen = tonumber(seen), number = tonumber(numbered),
      granted = { tonumber(more_events), tonumber(more_bytes) } }
  elseif now - tonumber(seen) > hold_ttl then
    for u = 1, 2 do lost[u] = lost[u] + amounts[u] end
  else
    for u = 1, 2 do held[u] = held[u] + amounts[u] end
    others[#others + 1] = whole
  end
end

local overtaken = asked > 0 and asked <= last.number
if overtaken then
  need, keep, wish, lost, spent, refunds = { 0, 0 }, last.amounts, { 0, 0 }, { 0, 0 }, { {}, {} }, {}
end
local again = { 0, 0 }
if not overtaken and unheard > 0 and last.number >= unheard then again = last.granted end
local function is_new(entry) return asked == 0 or entry.first > last.number end

local function bucket(rule, at)
  if rule.calendar then
    if at >= rule.c then return rule.a + 1 end
    if at < rule.b then return rule.a - 1 end
    return rule.a
  end
  return math.floor((at + rule.c) / rule.b)
end
local function leaves(rule, index)
  if rule.calendar then return index <= rule.a and rule.c or rule.d end
  return (index + rule.a + 1) * rule.b - rule.c
end
local function banked(rule, bank, buckets, used)
  return math.max(0, math.min(bank + rule.limit * buckets - used * rule.depth, rule.cap * rule.depth))
end
local function slot(rule, index) return rule.letter .. string.format('%.0f', index % (rule.depth + 1)) end
local function load(rule, first, last)
  local names, values = {}, {}
  for index = first, last do
    if not rule.slots[slot(rule, index)] then names[#names + 1] = slot(rule, index) end
  end
  if #names > 0 then
    values = redis.call('HMGET', key, unpack(names))
    for i, name in ipairs(names) do rule.slots[name] = tonumber(values[i] or '0') end
  end
end
local function change(rule, index, by)
  load(rule, index, index)
  local name = slot(rule, index)
  rule.slots[name] = rule.slots[name] + by
  rule.dirty[name] = true
  rule.sum = rule.sum + by
end

-- Lets go of what has left the window. A clock that went back leaves everything where it is.
local function advance(rule)
  local target = bucket(rule, now)
  local size = rule.depth + 1
  if target - rule.last >= size then
    rule.bank = banked(rule, rule.bank, target - rule.last, rule.sum)
    rule.sum, rule.last = 0, target
    for index = 0, rule.depth do
      rule.slots[slot(rule, index)] = 0
      rule.dirty[slot(rule, index)] = true
    end
  elseif target > rule.last then
    load(rule, rule.last + 1, target)
    for index = rule.last + 1, target do
      local dropped = rule.slots[slot(rule, index)]
      if dropped ~= 0 then change(rule, index, -dropped) end
      rule.bank = banked(rule, rule.bank, 1, dropped)
    end
    rule.last = target
  end
  rule.bank = math.min(rule.bank, rule.cap * rule.depth)
end
local function add(rule, age, amount)
  local index = math.min(bucket(rule, now - age), rule.last)
  if amount > 0 and index >= rule.last - rule.depth then change(rule, index, amount) end
end
-- A failed charge leaves its own bucket or the next ones, never older ones.
local function take_back(rule, age, amount)
  local first = bucket(rule, now - age)
  if amount <= 0 or first < rule.last - rule.depth then return end
  load(rule, first, rule.last)
  for index = first, rule.last do
    local taken = math.min(rule.slots[slot(rule, index)], amount)
    if taken > 0 then change(rule, index, -taken) end
    amount = amount - taken
  end
end
local function capacity(rule, bank) return rule.limit + math.floor(bank / math.max(rule.depth, 1)) end
-- When the oldest charge leaves the window.
local function first_leaves(rule)
  load(rule, rule.last - rule.depth, rule.last)
  for index = rule.last - rule.depth, rule.last do
    if rule.slots[slot(rule, index)] > 0 then return leaves(rule, index) end
  end
  return leaves(rule, rule.last)
end
-- Microseconds until `rest` fits beside `held` when nothing else is charged.
local function wait(rule, beside, rest)
  local sum, bank = rule.sum, rule.bank
  if capacity(rule, bank) - sum - beside >= rest then return 0 end
  load(rule, rule.last - rule.depth, rule.last)
  for index = rule.last - rule.depth, rule.last do
    local dropped = rule.slots[slot(rule, index)]
    sum = sum - dropped
    bank = banked(rule, bank, 1, dropped)
    if capacity(rule, bank) - sum - beside >= rest then return leaves(rule, index) - now end
  end
  return leaves(rule, rule.last) + hold_ttl - now
end

for i, rule in ipairs(rules) do
  rule.depth = rule.calendar and 0 or rule.a
  rule.slots, rule.dirty = {}, {}
  rule.last = tonumber(stored[3 * i - 1] or bucket(rule, now))
  rule.sum = tonumber(stored[3 * i] or '0')
  rule.bank = tonumber(stored[3 * i + 1] or '0')
  advance(rule)
  take_back(rule, now - last.seen, again[rule.unit])
  for _, entry in ipairs(spent[rule.unit]) do
    if is_new(entry) then add(rule, entry.age, entry.amount) end
  end
  add(rule, 0, lost[rule.unit])
  if rule.unit == 1 then
    for _, entry in ipairs(refunds) do
      if is_new(entry) then take_back(rule, entry.age, entry.amount) end
    end
  end
end

for u = 1, 2 do held[u] = held[u] + keep[u] end
local free = { 2 ^ 50, 2 ^ 50 }
for _, rule in ipairs(rules) do
  if rule.enforced then
    free[rule.unit] = math.min(free[rule.unit], capacity(rule, rule.bank) - rule.sum - held[rule.unit])
  end
end

local granted = { 0, 0 }
if free[2] >= need[2] then
  granted = { math.max(0, math.min(free[1], need[1])), need[2] }
end
for _, rule in ipairs(rules) do add(rule, 0, granted[rule.unit]) end

local lease = {}
for u = 1, 2 do
  lease[u] = math.max(0, math.min(math.floor((free[u] - granted[u]) / (2 * sharers)), wish[u]))
  held[u] = held[u] + lease[u]
end

local denied_by, longest, delay, earliest = -1, -1, -1, 0
if granted[1] < need[1] or granted[2] < need[2] then
  local refused = granted[2] < need[2] and 2 or 1
  local rest, step = { need[1] - granted[1], need[2] }, { 1, need[2] }
  for i, rule in ipairs(rules) do
    if rule.enforced then
      local clears = wait(rule, held[rule.unit], math.min(rest[rule.unit], rule.limit))
      delay = math.max(delay, clears)
      if rule.unit == refused then
        if clears > longest then denied_by, longest = i - 1, clears end
        if capacity(rule, rule.bank) - rule.sum - held[rule.unit] < math.min(step[rule.unit], rule.limit) then
          earliest = math.max(earliest, first_leaves(rule) - now)
        end
      end
    end
  end
end

-- Kept without a lease too, so that what is told again is known again.
others[#others + 1] = string.format('%s %.0f %.0f %.0f %.0f %.0f %.0f;', instance, keep[1] + lease[1], keep[2] + lease[2], now,
  asked, granted[1], granted[2])
writes[#writes + 1] = 'h'
writes[#writes + 1] = table.concat(others)
local reply = { now, granted[1], granted[2], lease[1], lease[2] }
for _, rule in ipairs(rules) do
  write(rule.letter .. 'l', rule.last)
  write(rule.letter .. 's', rule.sum)
  write(rule.letter .. 'k', rule.bank)
  for name in pairs(rule.dirty) do
    if rule.slots[name] == 0 then removals[#removals + 1] = name else write(name, rule.slots[name]) end
  end
  reply[#reply + 1] = rule.sum + held[rule.unit]
  reply[#reply + 1] = capacity(rule, rule.bank)
end
if not overtaken then
  redis.call('HSET', key, unpack(writes))
  if #removals > 0 then redis.call('HDEL', key, unpack(removals)) end
  redis.call('PEXPIRE', key, key_ttl)
end
reply[#reply + 1] = denied_by
reply[#reply + 1] = delay
reply[#reply + 1] = earliest
return reply
