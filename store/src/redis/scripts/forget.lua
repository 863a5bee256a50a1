-- Removes the entries of schedulers that no store knows any more, unless they have a later owner.
-- KEYS: the fence. ARGV: scheduler and last epoch, again and again.
for i = 1, #ARGV, 2 do
  local stored = redis.call('HGET', KEYS[1], ARGV[i])
  local epoch = stored and string.match(stored, '^(%d+):%d+$')
  if epoch and tonumber(epoch) <= tonumber(ARGV[i + 1]) then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
return 'ok'
