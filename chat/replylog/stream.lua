-- Changes the stream of one reply. Its entries have the ids <seq>-<attempt>, and the last one decides who may write.
-- KEYS: the stream. ARGV: a verb, the attempt on whose behalf (none: the last one), seconds to keep the stream, and what
-- the verb needs. Returns "stored"; "fenced" for an attempt that lost the reply; "lost" where entries are missing.

local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local seq, attempt, kind = 0, 0, ''
if last then
    seq, attempt = last[1]:match('(%d+)-(%d+)')
    seq, attempt, kind = tonumber(seq), tonumber(attempt), last[2][2]
end
local mine = tonumber(ARGV[2]) or attempt

local function add(at, kind, data)
    redis.call('XADD', KEYS[1], at .. '-' .. mine, 'kind', kind, 'data', data)
end

local verbs = {}

-- Appends all or nothing. ARGV[4]: the last seq before; then kinds and data in turns.
function verbs.append()
    local before = tonumber(ARGV[4])
    -- An earlier try has stored them.
    if seq > before and attempt == mine then return 'stored' end
    if seq ~= before then return 'lost' end
    if kind == 'end' then return 'fenced' end
    for i = 5, #ARGV, 2 do
        before = before + 1
        add(before, ARGV[i], ARGV[i + 1])
    end
    return 'stored'
end

-- Replaces all entries by one. ARGV[4]: the last seq before; then its kind and data.
function verbs.restart()
    redis.call('DEL', KEYS[1])
    add(ARGV[4] + 1, ARGV[5], ARGV[6])
    return 'stored'
end

-- Keeps earlier attempts from writing.
function verbs.claim()
    if attempt < mine then add(seq, 'claim', '') end
    return 'stored'
end

-- Replaces a log that has ended by a claim: readers do not find the end, and earlier attempts stay fenced. All entries
-- go, because a stream takes no smaller id after one that was deleted.
function verbs.hide_end()
    if kind ~= 'end' then return end
    redis.call('DEL', KEYS[1])
    add(0, 'claim', '')
    return 'stored'
end

if attempt > mine then return 'fenced' end
local answer = verbs[ARGV[1]]()
if answer == 'stored' then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
return answer
