/** A machine that runs containers: Debian's own Docker engine, started as the machine's program. */
import type { ImageDefinition } from '@thaw/protocol'

type Docker = ImageDefinition & { kind: 'docker' }
type Packages = ImageDefinition & { kind: 'packages' }

/** crun, since runc is started four times for a container, and each start takes seconds where processors are emulated. */
const PACKAGES = ['docker.io', 'crun']
const MEMORY = 768 * 1024 ** 2
/** Seconds. Emulated, and beside other work, it has taken more than two minutes. */
const READY_WITHIN = 600

/**
 * containerd by itself: an engine that starts its own gives it 15 s, which is too little where processors are emulated.
 * No bridge and no rules for packets: the one container of a machine has the machine's network, and needs no more
 * modules of the kernel than its layers do.
 */
const START = `
printf '%s\\n' 'version = 2' 'disabled_plugins = ["io.containerd.grpc.v1.cri"]' >/run/containerd.toml
containerd --config=/run/containerd.toml --log-level=warn &
until [ -S /run/containerd/containerd.sock ]; do sleep 0.2; done
exec dockerd --host=unix:///run/docker.sock --containerd=/run/containerd/containerd.sock \\
  --bridge=none --iptables=false --ip6tables=false --storage-driver=overlay2 \\
  --exec-opt=native.cgroupdriver=cgroupfs --add-runtime=crun=/usr/bin/crun --default-runtime=crun --log-level=warn`

/** A question to the engine, by what every Debian has: the client is another package, and starts slowly. */
const ANSWERS = `
$socket = IO::Socket::UNIX->new("/run/docker.sock") or exit 1;
print $socket "GET /_ping HTTP/1.0\\r\\n\\r\\n";
exit(<$socket> =~ / 200 / ? 0 : 1)`

export function dockerMachine({ name, limits }: Docker): Packages {
  return {
    kind: 'packages',
    name,
    packages: PACKAGES,
    command: ['sh', '-c', START],
    engine: 'vm',
    readiness: { command: ['perl', '-MIO::Socket::UNIX', '-e', ANSWERS], timeout: READY_WITHIN },
    limits: { cpu: null, pids: null, ...limits, memory: limits?.memory ?? MEMORY },
  }
}
