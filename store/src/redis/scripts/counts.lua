-- Counts the rooms of schedulers by status, as whole as they are at one moment (contract 4.4).
-- KEYS: none of its own. ARGV: the sets of statuses. Answers nine numbers for each; -1 if it is no sorted set.
local answer = {}
for number, key in ipairs(ARGV) do
  for status = 0, 8 do
    local count = redis.pcall('ZCOUNT', key, status, status)
    answer[(number - 1) * 9 + status + 1] = type(count) == 'number' and count or -1
  end
end
return answer
