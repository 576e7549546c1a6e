/** Kernel objects. */
import { python, type Case } from './case.js'

export const KERNEL: Case[] = [
  python(
    'threads with locks and conditions',
    `
ticks = [0] * 4
lock = threading.Lock(); cond = threading.Condition(); woken = []
def work(i):
    while True:
        with lock: ticks[i] += 1
        time.sleep(.001)
for i in range(4): threading.Thread(target=work, args=(i,), daemon=True).start()
def wait():
    with cond: cond.wait(); woken.append(1)
threading.Thread(target=wait, daemon=True).start()
time.sleep(.1)`,
    `
before = list(ticks); time.sleep(.2)
assert all(b > a for a, b in zip(before, ticks)), (before, ticks)
with cond: cond.notify_all()
time.sleep(.1); assert woken`,
  ),
  python(
    'a pipe full of data',
    `r, w = os.pipe(); os.set_blocking(w, False); sent = os.write(w, bytes(range(256)) * 256)`,
    `
got = b""
while len(got) < sent: got += os.read(r, 65536)
assert got == (bytes(range(256)) * 256)[:sent]; os.write(w, b"x"); assert os.read(r, 9) == b"x"`,
  ),
  python(
    'a named pipe with data',
    `os.mkfifo("fifo"); fd = os.open("fifo", os.O_RDWR); os.write(fd, b"waiting")`,
    `assert os.read(fd, 99) == b"waiting"`,
  ),
  python(
    'eventfd',
    `fd = os.eventfd(0) if hasattr(os, "eventfd") else libc.eventfd(0, 0); os.write(fd, struct.pack("Q", 41))`,
    `os.write(fd, struct.pack("Q", 1)); assert struct.unpack("Q", os.read(fd, 8))[0] == 42`,
  ),
  python(
    'epoll set over pipes and sockets',
    `
r, w = os.pipe(); a, b = socket.socketpair(); poll = select.epoll(); poll.register(r, select.EPOLLIN); poll.register(a, select.EPOLLIN | select.EPOLLET)`,
    `
os.write(w, b"x"); b.send(b"y"); assert dict(poll.poll(1)) == {r: 1, a.fileno(): 1}`,
  ),
  python(
    'signalfd with a signal waiting',
    `
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
mask = (ctypes.c_ulong * 16)(); mask[0] = 1 << (signal.SIGUSR2 - 1)
fd = libc.signalfd(-1, ctypes.byref(mask), 0); os.kill(os.getpid(), signal.SIGUSR2)`,
    `assert struct.unpack("I", os.read(fd, 128)[:4])[0] == signal.SIGUSR2`,
  ),
  python(
    'blocked signals that wait, handlers, masks',
    `
got = []; signal.signal(signal.SIGUSR1, lambda s, f: got.append(s)); signal.signal(signal.SIGRTMIN, lambda s, f: got.append(s))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGRTMIN])
os.kill(os.getpid(), signal.SIGUSR1); os.kill(os.getpid(), signal.SIGRTMIN); os.kill(os.getpid(), signal.SIGRTMIN)`,
    `
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1, signal.SIGRTMIN]); time.sleep(.05)
assert set(got) == {signal.SIGUSR1, signal.SIGRTMIN}, got`,
  ),
  python(
    'interval timer (setitimer)',
    `
n = [0]; signal.signal(signal.SIGALRM, lambda s, f: n.__setitem__(0, n[0] + 1)); signal.setitimer(signal.ITIMER_REAL, .05, .05)`,
    `before = n[0]; time.sleep(.3); assert n[0] > before + 2, n`,
  ),
  python(
    'POSIX timer (timer_create)',
    `
n = [0]; signal.signal(signal.SIGALRM, lambda s, f: n.__setitem__(0, n[0] + 1))
timer = ctypes.c_void_p(); assert libc.timer_create(1, None, ctypes.byref(timer)) == 0
libc.timer_settime(timer, 0, (ctypes.c_long * 4)(0, 50_000_000, 0, 50_000_000), None)`,
    `before = n[0]; time.sleep(.3); assert n[0] > before + 2, n`,
  ),
  python(
    'timerfd, one shot',
    `
fd = libc.timerfd_create(1, 0); libc.timerfd_settime(fd, 0, (ctypes.c_long * 4)(0, 0, 2, 0), None)`,
    `
assert select.select([fd], [], [], 5)[0]; assert struct.unpack("Q", os.read(fd, 8))[0] == 1`,
  ),
  python(
    'timerfd, periodic, its ticks read',
    `
fd = libc.timerfd_create(1, 0); libc.timerfd_settime(fd, 0, (ctypes.c_long * 4)(1, 0, 1, 0), None); os.read(fd, 8)`,
    `
assert select.select([fd], [], [], 3)[0]; assert struct.unpack("Q", os.read(fd, 8))[0] >= 1`,
  ),
  python(
    'timerfd, periodic, with unread ticks',
    `
fd = libc.timerfd_create(1, 0); libc.timerfd_settime(fd, 0, (ctypes.c_long * 4)(0, 20_000_000, 0, 20_000_000), None); time.sleep(.1)`,
    `
assert select.select([fd], [], [], 1)[0], "silent"; os.read(fd, 8); assert select.select([fd], [], [], 1)[0], "silent after the first"`,
    { refused: true, remark: 'At a moment when they are read it is copied.' },
  ),
  python(
    'inotify',
    `
fd = libc.inotify_init1(0); os.mkdir("watched"); assert libc.inotify_add_watch(fd, b"watched", 0x100) >= 0`,
    `
open("watched/" + str(os.getpid()) + str(time.time()), "w"); assert select.select([fd], [], [], 2)[0], "silent"; assert b"watched" not in os.read(fd, 999)`,
  ),
  python(
    'memfd, sealed and mapped',
    `
fd = os.memfd_create("m", os.MFD_ALLOW_SEALING); os.ftruncate(fd, 8192); m = mmap.mmap(fd, 8192); m[:4] = b"data"; fcntl.fcntl(fd, 1033, 2)`,
    `
assert m[:4] == b"data"; m[4:6] = b"++"; assert os.pread(fd, 6, 0) == b"data++"; assert fcntl.fcntl(fd, 1034) == 2`,
  ),
  python(
    'memory shared with a child',
    `
m = mmap.mmap(-1, 4096); child = os.fork()
if child == 0:
    while True:
        m[0] = (m[0] + 1) % 256; time.sleep(.005)`,
    `a = m[0]; time.sleep(.2); assert m[0] != a`,
  ),
  python(
    'POSIX shared memory and semaphores',
    `
from multiprocessing import shared_memory, Semaphore
s = shared_memory.SharedMemory("thaw-case", create=True, size=4096); s.buf[0] = 7; sem = Semaphore(3); sem.acquire()`,
    `
t = shared_memory.SharedMemory("thaw-case"); assert t.buf[0] == 7; t.buf[1] = 9; assert s.buf[1] == 9; assert sem.get_value() == 2; sem.acquire()`,
  ),
  python(
    'System V shared memory, semaphores, messages',
    `
shm = libc.shmget(0x51, 4096, 0o1600); libc.shmat.restype = ctypes.c_void_p; at = libc.shmat(shm, None, 0); ctypes.memset(at, 65, 10)
sem = libc.semget(0x52, 1, 0o1600); libc.semctl(sem, 0, 16, 5)
q = libc.msgget(0x53, 0o1600); libc.msgsnd(q, struct.pack("l4s", 1, b"hello"[:4]), 4, 0)`,
    `
assert ctypes.string_at(at, 10) == b"A" * 10; assert libc.shmget(0x51, 4096, 0o600) == shm
assert libc.semctl(sem, 0, 12) == 5; buf = ctypes.create_string_buffer(64); assert libc.msgrcv(q, buf, 8, 0, 0o4000) == 4; assert buf.raw[8:12] == b"hell"`,
  ),
  python(
    'a zombie, a stopped child',
    `
z = os.fork()
if z == 0: os._exit(3)
s = os.fork()
if s == 0:
    time.sleep(1000)
os.kill(s, signal.SIGSTOP); time.sleep(.1)`,
    `
assert os.waitpid(z, 0)[1] == 3 << 8; assert open(f"/proc/{s}/stat").read().split()[2] in "Tt"; os.kill(s, signal.SIGCONT); time.sleep(.1)
assert open(f"/proc/{s}/stat").read().split()[2] == "S"; os.kill(s, 9); assert os.waitpid(s, 0)[1] == 9`,
  ),
  python(
    'sessions and process groups',
    `
pids = []
for make in (os.setsid, os.setpgrp):
    p = os.fork()
    if p == 0: make(); time.sleep(1000)
    pids.append(p)
time.sleep(.1)`,
    `
assert [os.getsid(p) == p for p in pids] == [True, False]; assert [os.getpgid(p) == p for p in pids] == [True, True]; os.killpg(pids[1], 9); assert os.waitpid(pids[1], 0)[1] == 9`,
  ),
  python(
    'orphans below a program that has left its session',
    `
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(w, b"%d" % os.getpid()); time.sleep(1000)
    os._exit(0)
os.wait(); pid = int(os.read(r, 9))`,
    `assert open(f"/proc/{pid}/stat").read().split()[2] == "S"; os.kill(pid, 0)`,
  ),
  python(
    'unix socket pair with data and a descriptor under way',
    `
a, b = socket.socketpair(); r, w = os.pipe(); socket.send_fds(a, [b"fd"], [r]); os.write(w, b"through")`,
    `
data, fds, _, _ = socket.recv_fds(b, 9, 1); assert data == b"fd"; assert os.read(fds[0], 9) == b"through"; b.send(b"x"); assert a.recv(1) == b"x"`,
  ),
  python(
    'unix sockets: listening, connected, datagrams',
    `
l = socket.socket(socket.AF_UNIX); l.bind("s.sock"); l.listen(); c = socket.socket(socket.AF_UNIX); c.connect("s.sock"); s, _ = l.accept(); c.send(b"early")
d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); d.bind("d.sock"); e = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); e.connect("d.sock"); e.send(b"gram")`,
    `
assert s.recv(9) == b"early"; n = socket.socket(socket.AF_UNIX); n.connect("s.sock"); m, _ = l.accept(); n.send(b"new"); assert m.recv(9) == b"new"; assert d.recv(9) == b"gram"`,
  ),
  python(
    'TCP connection inside, with data under way',
    `
l = socket.create_server(("127.0.0.1", 8099)); c = socket.create_connection(("127.0.0.1", 8099)); s, _ = l.accept(); c.send(b"early" * 1000)`,
    `
got = b""
while len(got) < 5000: got += s.recv(9999)
assert got == b"early" * 1000; s.send(b"back"); assert c.recv(9) == b"back"; n = socket.create_connection(("127.0.0.1", 8099)); l.accept()`,
    { network: 'private' },
  ),
  python(
    'TCP over IPv6, UDP, both with data',
    `
l = socket.create_server(("::1", 8098), family=socket.AF_INET6); c = socket.create_connection(("::1", 8098)); s, _ = l.accept(); c.send(b"six")
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 8097)); v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); v.connect(("127.0.0.1", 8097))`,
    `
assert s.recv(9) == b"six"; v.send(b"gram"); assert u.recv(9) == b"gram"`,
    { network: 'private' },
  ),
  python(
    'netlink and raw sockets',
    `n = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); n.bind((0, 0)); p = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)`,
    `
n.send(struct.pack("IHHIIB3x", 20, 18, 0x301, 1, 0, 0)); assert len(n.recv(65536)) > 20; p.sendto(struct.pack("!BBHHH", 8, 0, 0xf7fd, 1, 1), ("127.0.0.1", 0)); assert p.recv(99)`,
    { network: 'private' },
  ),
  python(
    'file locks: flock, record locks',
    `
f = open("locked", "w"); fcntl.flock(f, fcntl.LOCK_EX); g = open("ranged", "w"); fcntl.lockf(g, fcntl.LOCK_EX, 10, 5)`,
    `
def free(code): return subprocess.run([sys.executable, "-c", "import fcntl;" + code], capture_output=True).returncode == 0
assert not free("fcntl.flock(open('locked'), 6)"); assert not free("fcntl.lockf(open('ranged', 'r+'), 6, 10, 5)"); assert free("fcntl.lockf(open('ranged', 'r+'), 6, 5, 0)")`,
  ),
  python(
    'deleted files: open, mapped, as directory',
    `
f = open("gone", "w+b"); f.write(b"x" * 100000); f.flush(); m = mmap.mmap(f.fileno(), 100000); os.unlink("gone"); os.mkdir("dir"); d = os.open("dir", os.O_RDONLY); os.rmdir("dir")`,
    `
m[0:3] = b"new"; assert os.pread(f.fileno(), 5, 0) == b"newxx"; assert os.fstat(f.fileno()).st_nlink == 0; os.fstat(d)`,
  ),
  python(
    'file offsets, append, directories, O_PATH',
    `
f = open("f", "w+"); f.write("0123456789"); f.flush(); f.seek(3); a = os.open("f", os.O_WRONLY | os.O_APPEND); d = os.open(".", os.O_RDONLY); p = os.open("f", os.O_PATH)`,
    `
assert f.read(2) == "34"; os.write(a, b"end"); assert open("f").read() == "0123456789end"; assert "f" in os.listdir(d); assert os.fstat(p).st_size == 13`,
  ),
  python(
    'a pseudo terminal of its own',
    `m, s = os.openpty(); os.write(m, b"typed\\n")`,
    `assert os.read(s, 99) == b"typed\\n"; os.write(s, b"printed\\n"); time.sleep(.1); assert b"printed" in os.read(m, 99)`,
  ),
  python(
    'pidfd',
    `
p = os.fork()
if p == 0: time.sleep(1000)
fd = os.pidfd_open(p)`,
    `signal.pidfd_send_signal(fd, 9); assert select.select([fd], [], [], 2)[0]; assert os.waitpid(p, 0)[1] == 9`,
  ),
  python(
    'limits, priority, umask, name, directory, death signal',
    `
os.makedirs("deep/er"); os.chdir("deep/er"); os.umask(0o27); os.nice(3); resource.setrlimit(resource.RLIMIT_NOFILE, (99, 1000)); libc.prctl(15, b"renamed"); libc.prctl(1, 10)`,
    `
assert os.getcwd().endswith("deep/er"); assert os.umask(0o27) == 0o27; assert os.nice(0) == 3; assert resource.getrlimit(resource.RLIMIT_NOFILE) == (99, 1000); assert open("/proc/self/comm").read() == "renamed\\n"
sig = ctypes.c_int(); libc.prctl(2, ctypes.byref(sig)); assert sig.value == 10`,
  ),
  python(
    'a seccomp filter',
    `
libc.prctl(38, 1, 0, 0, 0)
prog = struct.pack("HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, 63, 6, 0, 0, 0x00050001, 6, 0, 0, 0x7fff0000)
buf = ctypes.create_string_buffer(prog); fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 4, ctypes.addressof(buf))); assert libc.prctl(22, 2, fprog) == 0`,
    `
try: os.uname()
except PermissionError: pass
else: raise AssertionError("the filter is gone")`,
  ),
  python(
    'memory: locked, huge, guarded, growing, mapped privately from a file',
    `
open("map", "wb").write(b"m" * 8192); f = open("map", "rb"); m = mmap.mmap(f.fileno(), 8192, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE); m[0] = 90
big = mmap.mmap(-1, 8 << 20); big.madvise(mmap.MADV_HUGEPAGE); big[4 << 20] = 5; small = mmap.mmap(-1, 4096); libc.mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(small))), 4096)`,
    `
assert m[:2] == b"Zm"; assert big[4 << 20] == 5; assert "VmLck:\\t       4 kB" in open("/proc/self/status").read(); mmap.mmap(-1, 1 << 20)[5] = 1`,
  ),
  python('host name, set inside', `libc.sethostname(b"thawed", 6)`, `assert os.uname().nodename == "thawed"`),
  python(
    'clocks',
    `m = time.monotonic()`,
    `assert 0 < time.monotonic() - m < 60, time.monotonic() - m; assert abs(time.time() - time.clock_gettime(time.CLOCK_REALTIME)) < 1`,
  ),
  python('io_uring', `fd = libc.syscall(425, 8, ctypes.create_string_buffer(256)); assert fd > 0`, `pass`, {
    refused: true,
  }),
  python(
    'a traced child',
    `
p = os.fork()
if p == 0: libc.ptrace(0, 0, 0, 0); os.kill(os.getpid(), signal.SIGSTOP); os._exit(0)
os.waitpid(p, os.WUNTRACED)`,
    `os.kill(p, 0)`,
    { refused: true },
  ),
  python(
    'a namespace of a child',
    `p = subprocess.Popen(["unshare", "-U", "-r", "-p", "-f", "-m", "sleep", "1000"]); time.sleep(.3)`,
    `assert p.poll() is None`,
    { refused: true, needs: ['unshare'] },
  ),
  python('a device', `fd = os.open("/dev/fuse", os.O_RDWR)`, `os.fstat(fd)`, { refused: true }),
  python('userfaultfd', `fd = libc.syscall(323, 1); assert fd > 0, ctypes.get_errno()`, `os.fstat(fd)`, {
    refused: true,
  }),
  python(
    'a connection to the outside',
    `s = socket.create_connection(("127.0.0.1", int(os.environ["OUTSIDE_PORT"])))`,
    `s.send(b"x")`,
    {
      refused: true,
      remark: 'With --tcp close the connection is found closed; with --tcp keep one branch at a time has it.',
    },
  ),
]
