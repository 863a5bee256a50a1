-- Steady pings of ROOMS rooms: wrk -s ping.lua URL -- scheduler room-list-file
local rooms, at, scheduler = {}, 0, nil
function init(args)
  scheduler = args[1]
  for line in io.lines(args[2]) do rooms[#rooms + 1] = line end
  at = math.random(#rooms)
end
function request()
  at = at % #rooms + 1
  return wrk.format("PUT", "/scheduler/" .. scheduler .. "/rooms/" .. rooms[at] .. "/ping",
    { ["Content-Type"] = "application/json" },
    '{"status":"ready","timestamp":"12312312313","metadata":{"region":"eu","map":"forest","players":3}}')
end
