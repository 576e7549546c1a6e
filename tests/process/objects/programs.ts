/** Whole programs. */
import { python, type Case } from './case.js'

const node = (name: string, text: string, more: Partial<Case> = {}): Case => ({
  name,
  argv: ['node', '-e', text],
  needs: ['node'],
  ...more,
})

/** A server below a Python client in the same sandbox. */
const served = (name: string, needs: string, setup: string, check: string, more: Partial<Case> = {}): Case =>
  python(name, setup, check, { network: 'private', needs: [needs], ...more })

export const PROGRAMS: Case[] = [
  python(
    'Python: asyncio server and client',
    `
loop = asyncio.new_event_loop()
async def serve(r, w):
    while line := await r.readline(): w.write(line.upper()); await w.drain()
async def start():
    global server, reader, writer
    server = await asyncio.start_server(serve, "127.0.0.1", 8096); reader, writer = await asyncio.open_connection("127.0.0.1", 8096)
loop.run_until_complete(start())`,
    `
async def ask(): writer.write(b"hello\\n"); return await reader.readline()
assert loop.run_until_complete(asyncio.wait_for(ask(), 5)) == b"HELLO\\n"`,
    { network: 'private' },
  ),
  python(
    'Python: multiprocessing pool, queue, manager',
    `
import multiprocessing
pool = multiprocessing.Pool(3); q = multiprocessing.Queue(); q.put("waiting"); manager = multiprocessing.Manager(); d = manager.dict(a=1)`,
    `
assert pool.map(abs, [-1, -2]) == [1, 2]; assert q.get(timeout=5) == "waiting"; assert d["a"] == 1; d["b"] = 2`,
  ),
  python(
    'Python: subprocess with pipes',
    `p = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)`,
    `p.stdin.write(b"through\\n"); p.stdin.flush(); assert p.stdout.readline() == b"through\\n"`,
  ),
  python(
    'Python: sqlite, open transaction',
    `
import sqlite3
db = sqlite3.connect("data.db"); db.execute("create table t (x)"); db.commit(); db.execute("insert into t values (1)")`,
    `
db.execute("insert into t values (2)"); db.commit(); assert db.execute("select sum(x) from t").fetchone() == (3,); assert sqlite3.connect("data.db").execute("pragma integrity_check").fetchone() == ("ok",)`,
  ),
  python(
    'Python: numpy with OpenBLAS threads',
    `
import numpy as np
a = np.random.default_rng(1).random((600, 600)); b = a @ a`,
    `assert np.allclose(a @ a, b)`,
    { remark: 'Needs numpy.' },
  ),
  node(
    'Node: timers, promises, a file',
    `
const fs = require('fs'); let n = 0; setInterval(() => n++, 5); const f = fs.openSync('out', 'a')
process.stdin.on('data', async () => { const before = n; await new Promise(r => setTimeout(r, 200)); fs.writeSync(f, 'x'); console.log(n > before + 5 ? 'ok' : 'bad: ' + [before, n]) })
console.log('ready')`,
  ),
  node(
    'Node: worker_threads',
    `
const { Worker } = require('worker_threads'); const w = new Worker("const { parentPort } = require('worker_threads'); parentPort.on('message', m => parentPort.postMessage(m * 2))", { eval: true })
w.on('message', m => console.log(m === 42 ? 'ok' : 'bad: ' + m)); w.on('online', () => console.log('ready')); process.stdin.on('data', () => w.postMessage(21))`,
  ),
  node(
    'Node: HTTP server with a kept connection',
    `
const http = require('http'); const agent = new http.Agent({ keepAlive: true }); let n = 0
const ask = (done) => http.get({ port: 8095, agent }, r => { let t = ''; r.on('data', d => t += d); r.on('end', () => done(t)) }).on('error', e => console.log('bad: ' + e))
http.createServer((q, r) => r.end(String(++n))).listen(8095, () => ask(() => console.log('ready')))
process.stdin.on('data', () => ask(t => console.log(t === '2' ? 'ok' : 'bad: ' + t)))`,
    { network: 'private' },
  ),
  node(
    'Node: child process with IPC',
    `
const { fork } = require('child_process'); const fs = require('fs'); fs.writeFileSync('child.js', "process.on('message', m => process.send(m + 1))"); const c = fork('child.js')
c.on('message', m => console.log(m === 2 ? 'ok' : m === 1 ? 'ready' : 'bad: ' + m)); c.send(0); process.stdin.on('data', () => c.send(1))`,
  ),
  {
    name: 'Perl',
    needs: ['perl'],
    argv: [
      'perl',
      '-e',
      '$| = 1; my %h = (a => 41); open(my $f, ">>", "log"); print "ready\\n"; while (<STDIN>) { $h{a}++; print $f "x"; print $h{a} == 42 ? "ok\\n" : "bad\\n" }',
    ],
  },
  {
    name: 'Ruby: threads, fibers',
    needs: ['ruby3.1'],
    argv: [
      'ruby3.1',
      '--disable-gems',
      '-e',
      '$stdout.sync = true; n = 0; Thread.new { loop { n += 1; sleep 0.01 } }; f = Fiber.new { Fiber.yield 1; 2 }; f.resume; puts "ready"; while gets; b = n; sleep 0.2; puts(n > b && f.resume == 2 ? "ok" : "bad"); end',
    ],
  },
  {
    name: 'Java 17: threads, GC',
    needs: ['java'],
    argv: [
      'sh',
      '-c',
      `cat > Main.java <<'END'
import java.util.*; import java.util.concurrent.*;
public class Main { public static void main(String[] a) throws Exception {
  var pool = Executors.newFixedThreadPool(3); var map = new ConcurrentHashMap<Integer, byte[]>();
  for (int i = 0; i < 100; i++) map.put(i, new byte[10000]);
  System.out.println("ready"); var in = new Scanner(System.in);
  while (in.hasNextLine()) { in.nextLine(); System.gc(); int n = pool.submit(() -> map.size()).get(); System.out.println(n == 100 ? "ok" : "bad: " + n); } } }
END
exec java -Xmx128m Main.java`,
    ],
  },
  {
    name: 'bash: variables, functions, background jobs',
    needs: ['bash'],
    argv: [
      'bash',
      '-c',
      'f() { echo $((x + 1)); }; x=41; sleep 1000 & echo ready; while read line; do [ $(f) = 42 ] && [ "$(jobs | wc -l)" = 1 ] && kill -0 $! && echo ok || echo bad; done',
    ],
  },
  {
    name: 'bash, interactive',
    needs: ['bash'],
    terminal: true,
    argv: ['bash', '--norc', '--noprofile', '-i'],
    ready: '# ',
    send: 'x=o; echo ${x}k\n',
    expect: 'ok',
  },
  {
    name: 'zsh, interactive',
    needs: ['zsh'],
    terminal: true,
    argv: ['zsh', '-f', '-i'],
    ready: '#',
    send: 'x=o; echo ${x}k\n',
    expect: 'ok\r\n',
  },
  {
    name: 'Python, interactive with readline',
    terminal: true,
    argv: ['python3', '-q'],
    ready: '>>> ',
    send: 'print("o" + "k")\n',
    expect: 'ok\r\n',
  },
  {
    name: 'Node, interactive',
    needs: ['node'],
    terminal: true,
    argv: ['node'],
    ready: '> ',
    send: '"o" + "k"\n',
    expect: "'ok'",
  },
  {
    name: 'vim',
    needs: ['vim'],
    terminal: true,
    argv: ['vim', '-u', 'NONE', '-n', 'new.txt'],
    ready: '~',
    send: 'ihello\x1b:w\r',
    expect: 'written',
  },
  {
    name: 'sqlite3, open transaction',
    needs: ['sqlite3'],
    argv: [
      'sh',
      '-c',
      '(echo "create table t (x); begin; insert into t values (41);"; echo "select \'ready\';"; cat) | sqlite3 d.db',
    ],
    send: "insert into t values (1); commit; select case sum(x) when 42 then 'ok' else 'bad' end from t;\n",
  },
  served(
    'redis-server',
    'redis-server',
    `
server = subprocess.Popen(["redis-server", "--port", "6399", "--save", "", "--appendonly", "yes"], stdout=subprocess.DEVNULL)
for _ in range(100):
    try: c = socket.create_connection(("127.0.0.1", 6399)); break
    except OSError: time.sleep(.05)
c.send(b"SET k 41\\r\\n"); assert c.recv(99) == b"+OK\\r\\n"`,
    `c.send(b"INCR k\\r\\n"); assert c.recv(99) == b":42\\r\\n"; d = socket.create_connection(("127.0.0.1", 6399)); d.send(b"GET k\\r\\n"); assert d.recv(99) == b"$2\\r\\n42\\r\\n"`,
  ),
  served(
    'nginx: master and workers',
    'nginx',
    `
os.makedirs("logs"); open("index.html", "w").write("served"); here = os.getcwd()
open("n.conf", "w").write("daemon off; user root; pid n.pid; error_log logs/e; worker_processes 2; events {} http { access_log logs/a; %s server { listen 127.0.0.1:8094; root %s; } }" % (" ".join(f"{k}_temp_path t_{k};" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")), here))
os.chmod(here, 0o755)
server = subprocess.Popen(["nginx", "-p", here, "-c", here + "/n.conf"])
import http.client
c = http.client.HTTPConnection("127.0.0.1", 8094)
for _ in range(100):
    try: c.connect(); break
    except OSError: time.sleep(.05)
def get(): c.request("GET", "/"); return c.getresponse().read()
assert get() == b"served"`,
    `
import urllib.request
assert get() == b"served"; assert urllib.request.urlopen("http://127.0.0.1:8094/").read() == b"served"`,
  ),
  served(
    'PostgreSQL',
    'postgres',
    `
import pwd, shutil
os.chmod(".", 0o755); os.chmod("..", 0o755)
me = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
os.mkdir("pg"); os.chown("pg", pwd.getpwnam("postgres").pw_uid, -1)
bin = os.path.dirname(os.path.realpath(shutil.which("postgres"))); bin = bin if os.path.exists(bin + "/initdb") else "/usr/lib/postgresql/15/bin"
subprocess.run(me + [bin + "/initdb", "-D", "pg/data", "-A", "trust", "-U", "postgres"], check=True, capture_output=True)
log = open("pg.log", "w")
server = subprocess.Popen(me + [bin + "/postgres", "-D", "pg/data", "-k", "", "-h", "127.0.0.1", "-p", "5499"], stdout=log, stderr=log)
def connect(): return subprocess.Popen(["psql", "-X", "-A", "-t", "-q", "-h", "127.0.0.1", "-p", "5499", "-U", "postgres"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
for _ in range(100):
    if subprocess.run([bin + "/pg_isready", "-h", "127.0.0.1", "-p", "5499"], capture_output=True).returncode == 0: break
    time.sleep(.1)
psql = connect()
def ask(one, sql): one.stdin.write(sql + "\\n"); one.stdin.flush(); return one.stdout.readline().strip()
assert ask(psql, "create table t (x int); begin; insert into t values (41); select 1;") == "1"`,
    `
assert ask(psql, "insert into t values (1); commit; select sum(x) from t;") == "42"; assert ask(connect(), "select sum(x) from t;") == "42"`,
    {
      needs: ['postgres', 'psql', 'setpriv'],
      refused: 'perhaps',
      remark:
        'Its processes are of another user than root; root without the capability SYS_RESOURCE cannot read their limits.',
    },
  ),
  {
    name: 'gdb on a program',
    needs: ['gdb'],
    refused: true,
    argv: [
      'gdb',
      '-q',
      '-nx',
      '-ex',
      'set confirm off',
      '-ex',
      'starti',
      '-ex',
      'echo ready\\n',
      '/bin/sleep',
    ],
    send: 'echo ok\\n\n',
  },
  {
    name: 'tmux server',
    needs: ['tmux'],
    terminal: true,
    argv: ['tmux', '-f', '/dev/null', '-L', 'case', 'new', 'bash --norc --noprofile'],
    ready: '# ',
    send: 'x=o; echo ${x}k\n',
    expect: 'ok',
  },
]
