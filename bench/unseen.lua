-- Every request carries a token never seen before.
math.randomseed(os.time())
local tail, n = string.format("%09d", math.random(1e9)) .. string.rep("a", 100), 0
request = function()
  n = n + 1
  return wrk.format("GET", nil, {["Authorization"] = "Bearer " .. n .. "x" .. tail})
end
