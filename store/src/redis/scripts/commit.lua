-- Applies the changes of one batch, or none of them (architecture 5, Order). Redis runs it as one step.
-- KEYS: the fence. ARGV: scheduler, epoch, previous seq, seq, and then commands: the number of words, and the words.
-- Answers {"ok"}, {"fenced", epoch}, {"behind", seq}, or a refusal of the batch: {"type", key, found, wanted},
-- {"missing", key}, {"rubbish", fence}. Whoever owns the scheduler has made an entry (raise.lua), so one that is gone
-- was lost, or the name was forgotten: this cannot tell who may write.
local fence, scheduler = KEYS[1], ARGV[1]
local stored = redis.call('HGET', fence, scheduler)
if not stored then return {'behind', '0'} end
local epoch, seq = string.match(stored, '^(%d+):(%d+)$')
if not epoch then return {'rubbish', stored} end
if tonumber(epoch) > tonumber(ARGV[2]) then return {'fenced', epoch} end
if tonumber(seq) ~= tonumber(ARGV[3]) then return {'behind', seq} end

local call = redis.call
-- Other programs may have put ids there that are not ours to touch.
local function is_id(text)
  return #text == 36 and string.match(text, '^%x+%-%x+%-%x+%-%x+%-%x+$') ~= nil
end
-- All members of a sorted set are removed but those for which `stays` is true.
local function sift(key, stays)
  local found = call('ZRANGE', key, 0, -1, 'WITHSCORES')
  call('UNLINK', key)
  for i = 1, #found, 2 do
    if stays(found[i]) then call('ZADD', key, found[i + 1], found[i]) end
  end
end
local function sift_list(key, stays)
  local found = call('LRANGE', key, 0, -1)
  call('UNLINK', key)
  for _, id in ipairs(found) do
    if stays(id) then call('RPUSH', key, id) end
  end
end

-- What a key must be, by command: the types of its first keys, in order. A key that does not exist is fine.
local types = {
  HSET = {'hash'}, HDEL = {'hash'}, ZADD = {'zset'}, ZREM = {'zset'}, UNLINK = {}, EXPIRE = {}, PERSIST = {},
  UPDATE = {'hash'}, TOUCH = {'hash'}, QUEUE = {'list', 'list'}, UNQUEUE = {'list', 'list'},
  PLACE = {'zset', 'zset', 'zset'}, LEASE = {'zset', 'zset'}, ROOMS = {'zset', 'zset', 'zset', 'hash'},
  OPEN = {'list', 'list', 'zset', 'zset', 'hash'}, ALL = {'list', 'list', 'zset', 'zset', 'hash', 'zset', 'zset'},
}
local run = {}
-- UPDATE hash, field, value ...: of a hash that must exist.
function run.UPDATE(key, ...) call('HSET', key, ...) end
-- TOUCH hash, field, value ...: unless the hash is gone.
function run.TOUCH(key, ...)
  if call('EXISTS', key) == 1 then call('HSET', key, ...) end
end
-- QUEUE queue, taken, side, id: unless it waits already.
function run.QUEUE(queue, taken, side, id)
  if call('LPOS', queue, id) or call('LPOS', taken, id) then return end
  call(side, queue, id)
end
-- UNQUEUE queue, taken, id
function run.UNQUEUE(queue, taken, id)
  call('LREM', queue, 0, id)
  call('LREM', taken, 0, id)
end
-- PLACE active, history, no action, id, number of its set or 0, score
function run.PLACE(active, history, no_action, id, place, score)
  for number, key in ipairs({active, history, no_action}) do
    if number == tonumber(place) then call('ZADD', key, score, id) else call('ZREM', key, id) end
  end
end
-- LEASE leases, active, id, score: while the operation runs.
function run.LEASE(leases, active, id, score)
  if call('ZSCORE', active, id) then call('ZADD', leases, score, id) end
end
-- ROOMS status, ping, occupancy, instances, prefix: deletes all rooms.
function run.ROOMS(status, ping, occupancy, instances, prefix)
  for _, key in ipairs({status, ping, occupancy}) do
    for _, room in ipairs(call('ZRANGE', key, 0, -1)) do call('UNLINK', prefix .. room) end
  end
  for _, room in ipairs(call('HKEYS', instances)) do call('UNLINK', prefix .. room) end
  call('UNLINK', status, ping, occupancy, instances)
end
-- OPEN queue, taken, active, leases, journal, prefix: deletes the operations that have not ended. What others have
-- pushed and no owner has taken over yet is in no journal, and stays.
function run.OPEN(queue, taken, active, leases, journal, prefix)
  local function goes(id, is_known)
    if not is_id(id) or not is_known then return false end
    local status = call('HGET', prefix .. id, 'status')
    if status ~= '0' and status ~= '1' then return true end
    call('UNLINK', prefix .. id)
    return true
  end
  local function stays(id) return not goes(id, call('HEXISTS', journal, id) == 1) end
  sift_list(taken, stays)
  sift_list(queue, stays)
  sift(active, function(id) return not goes(id, true) end)
  sift(leases, function(id) return not is_id(id) end)
  call('UNLINK', journal)
end
-- ALL queue, taken, active, leases, journal, history, no action, prefix, id: deletes all operations but one.
function run.ALL(queue, taken, active, leases, journal, history, no_action, prefix, keep)
  local entry = call('HGET', journal, keep)
  local function stays(id)
    if not is_id(id) or id == keep then return true end
    call('UNLINK', prefix .. id)
    return false
  end
  sift_list(taken, stays)
  sift_list(queue, stays)
  for _, key in ipairs({active, leases, history, no_action}) do sift(key, stays) end
  call('UNLINK', journal)
  if entry then call('HSET', journal, keep, entry) end
end

-- Everything that can be refused is refused before the first write.
local found = {}
local at = 5
while at <= #ARGV do
  local last = at + tonumber(ARGV[at])
  local name = ARGV[at + 1]
  for number, wanted in ipairs(types[name]) do
    local key = ARGV[at + 1 + number]
    found[key] = found[key] or call('TYPE', key).ok
    if found[key] ~= 'none' and found[key] ~= wanted then return {'type', key, found[key], wanted} end
    if name == 'UPDATE' and found[key] == 'none' then return {'missing', key} end
  end
  at = last + 1
end

-- First, because a server that is full, read-only or failing refuses the first write, and only that.
call('HSET', fence, scheduler, ARGV[2] .. ':' .. ARGV[4])
local ok, problem = pcall(function()
  at = 5
  while at <= #ARGV do
    local last = at + tonumber(ARGV[at])
    local name = ARGV[at + 1]
    if run[name] then run[name](unpack(ARGV, at + 2, last)) else call(unpack(ARGV, at + 1, last)) end
    at = last + 1
  end
end)
if ok then return {'ok'} end
-- Each change can be applied again, so the batch counts as not applied.
call('HSET', fence, scheduler, stored)
if type(problem) == 'table' then problem = problem.err end
return redis.error_reply('ERR a change could not be applied: ' .. tostring(problem))
