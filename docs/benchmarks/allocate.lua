-- Allocations: wrk -s allocate.lua URL -- scheduler
local path
function init(args) path = "/scheduler/" .. args[1] .. "/rooms/allocate" end
function request() return wrk.format("POST", path) end
