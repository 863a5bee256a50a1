-- Raises the epochs of schedulers that have a new owner, so that nobody else writes from here on.
-- KEYS: the fence. ARGV: scheduler and epoch, again and again. Answers what was stored for each: "epoch:seq", or nothing.
local answer = {}
for i = 1, #ARGV, 2 do
  local stored = redis.call('HGET', KEYS[1], ARGV[i])
  local epoch, seq = '0', '0'
  if stored then epoch, seq = string.match(stored, '^(%d+):(%d+)$') end
  -- Rubbish is answered as it is; the owner says what to do about it.
  if epoch and tonumber(epoch) <= tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. ':' .. seq)
  end
  answer[(i + 1) / 2] = stored or ''
end
return answer
