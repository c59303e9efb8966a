-- What wrk asks for, and how it was answered; wrk.py starts it and reads the one line it prints.
--     ... -s wrk.lua URL -- SECONDS DEVICES 0        a random device, below the URL's path
--     ... -s wrk.lua URL -- SECONDS DEVICES ROWS     readings of random devices, to the URL
-- After SECONDS nothing more is asked: what is under way can be answered before wrk ends.
local ffi = require("ffi")
ffi.cdef("struct clock { long s, us; }; int gettimeofday(struct clock *now, void *zone);")

local BODIES = 64
local READING = '{"timestamp": "2025-04-30 10:11:21", "device_id": "device_%d", '
  .. '"energy_consumed": %d, "location": "Living Room"}'
local clock, runs = ffi.new("struct clock"), nil
local seconds, devices, posts = 0, 0, {}

local function now()
  ffi.C.gettimeofday(clock, nil)
  return tonumber(clock.s) + tonumber(clock.us) / 1e6
end

function setup(thread) runs = thread end

function init(args)
  seconds, devices = tonumber(args[1]), tonumber(args[2])
  -- The token comes by the environment: arguments are for all to see.
  wrk.headers["Authorization"] = "Bearer " .. os.getenv("WRK_TOKEN")
  math.randomseed(7)
  for body = 1, tonumber(args[3]) > 0 and BODIES or 0 do
    local rows = {}
    for row = 1, tonumber(args[3]) do
      rows[row] = READING:format(math.random(0, devices - 1), math.random(0, 4294967295))
    end
    posts[body] = wrk.format("POST", nil, nil, table.concat(rows, "\n"))
  end
  began, ended, place = nil, nil, 0
end

function delay() return began and now() - began > seconds and 3600000 or 0 end

function request()
  began = began or now()
  place = place % BODIES + 1
  return posts[place] or wrk.format("GET", wrk.path .. "device_" .. math.random(0, devices - 1))
end

function response(status)
  ended = now()
  _G["answers_" .. status] = (_G["answers_" .. status] or 0) + 1
end

function done(summary, latency)
  local answers = {}
  for status = 100, 599 do
    local count = runs:get("answers_" .. status)
    if count then answers[#answers + 1] = ('"%d": %d'):format(status, count) end
  end
  local errors = summary.errors
  print(('{"seconds": %.6f, "answers": {%s}, "p50_us": %d, "p99_us": %d, "errors": %d}'):format(
    runs:get("ended") - runs:get("began"), table.concat(answers, ", "), latency:percentile(50),
    latency:percentile(99), errors.connect + errors.read + errors.write + errors.timeout))
end
