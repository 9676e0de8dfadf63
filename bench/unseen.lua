-- Each request has a token that the server has not seen before.
math.randomseed(os.time())
local tail, n = string.format("%09d", math.random(1e9)) .. string.rep("a", 100), 0
request = function()
  n = n + 1
  return wrk.format("GET", nil, {["Authorization"] = "Bearer " .. n .. "x" .. tail})
end
