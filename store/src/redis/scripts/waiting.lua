-- Tells which queues have something in them. ARGV: names of keys: lists, sorted sets and others. Answers the names of
-- those that are not empty; a key of another type counts as empty.
local answer = {}
for _, key in ipairs(ARGV) do
  local length = redis.pcall('LLEN', key)
  if type(length) ~= 'number' then length = redis.pcall('ZCARD', key) end
  if type(length) == 'number' and length > 0 then answer[#answer + 1] = key end
end
return answer
