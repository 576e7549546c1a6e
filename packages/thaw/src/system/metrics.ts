/** What the daemon counts and measures, for Prometheus. Names are thaw_…, times seconds, sizes bytes. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** From half a millisecond to ten minutes. */
const SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600,
]

export type ColdReason =
  'first_run' | 'nothing_kept' | 'fresh' | 'busy' | 'edit' | 'input' | 'env' | 'package' | 'other'

/** Why an instance could not come from where it was to come from. */
export type FallbackReason =
  /** There is no snapshot. */
  | 'none'
  | 'unhealthy'
  | 'creating'
  /** criu, kernel, processor or program are not those it was made with. */
  | 'mismatch'
  /** A file of it is missing, cut, or not what was written. */
  | 'damaged'
  | 'restore'
  /** What was restored did not become ready. */
  | 'readiness'
  | 'pool_empty'

export class Metrics {
  readonly #registry = new Registry()
  readonly #starts = this.#counter('starts_total', 'Programs started, by how.', ['outcome', 'engine'])
  readonly #cold = this.#counter('cold_starts_total', 'Programs run from their start, by why.', ['reason'])
  readonly #restores = this.#counter('restores_total', 'Branches restored from a checkpoint.', ['engine'])
  readonly #checkpoints = this.#counter('checkpoints_total', 'Checkpoints taken.', ['engine'])
  readonly #refusals = this.#counter(
    'checkpoint_refusals_total',
    'Moments at which no checkpoint was possible.',
  )
  readonly #output = this.#counter('output_bytes_total', 'Bytes that programs have printed.')
  readonly #plan = this.#histogram('plan_seconds', 'From a request to the decision where to go on.')
  readonly #restore = this.#histogram('restore_seconds', 'From that decision to a branch that runs.', [
    'engine',
  ])
  readonly #run = this.#histogram('run_seconds', 'From a request to the end of its program.', ['outcome'])
  readonly #boots = this.#counter('instance_boots_total', 'Instances that became ready, by how.', ['method'])
  readonly #fallbacks = this.#counter(
    'instance_fallbacks_total',
    'Times that an instance could not come from a pool or a snapshot as wanted, by why.',
    ['reason'],
  )
  readonly #boot = this.#histogram('instance_boot_seconds', 'From a request to an instance that is ready.', [
    'method',
  ])
  readonly #saved = this.#counter(
    'instance_saved_seconds_total',
    'How much sooner instances were ready than by a start.',
  )
  readonly #serviceCalls = this.#counter('service_calls_total', 'Calls of services, by what came of them.', [
    'service',
    'outcome',
  ])
  readonly #serviceCall = this.#histogram('service_call_seconds', 'From a call to its answer.', ['service'])
  readonly #requests = this.#counter('http_requests_total', 'Requests answered.', [
    'method',
    'route',
    'status',
  ])
  readonly #request = this.#histogram('http_request_seconds', 'From a request to its answer.', ['route'])

  constructor(build: { version: string; build: string }) {
    const info = { ...build, node: process.versions.node }
    const about = new Gauge({
      name: 'thaw_build_info',
      help: 'Always 1; its labels tell what runs.',
      labelNames: Object.keys(info),
      registers: [this.#registry],
    })
    about.set(info, 1)
    this.gauge('process_start_time_seconds', 'When the daemon started, since 1970.', () => {
      return performance.timeOrigin / 1000
    })
    this.gauge('process_resident_memory_bytes', 'Memory of the daemon itself.', () =>
      process.memoryUsage.rss(),
    )
    let counted = 0
    this.#registry.registerMetric(
      new Counter({
        name: 'process_cpu_seconds_total',
        help: 'Processor time of the daemon itself.',
        registers: [],
        collect() {
          const { user, system } = process.cpuUsage()
          this.inc((user + system) / 1e6 - counted)
          counted = (user + system) / 1e6
        },
      }),
    )
  }

  /** @param read is asked when somebody looks */
  gauge(name: string, help: string, read: () => number): void {
    const full = name.startsWith('process_') ? name : `thaw_${name}`
    const collect = function (this: Gauge) {
      this.set(read())
    }
    this.#registry.registerMetric(new Gauge({ name: full, help, registers: [], collect }))
  }

  /** A program runs, or its record is replayed. @param seconds what planning and restoring took */
  began(
    outcome: string,
    engine: string,
    seconds: { plan: number; restore: number },
    cold: ColdReason | null,
  ): void {
    this.#starts.inc({ outcome, engine })
    this.#plan.observe(seconds.plan)
    if (cold !== null) this.#cold.inc({ reason: cold })
    if (outcome !== 'resumed') return
    this.#restores.inc({ engine })
    this.#restore.observe({ engine }, seconds.restore)
  }

  ended(outcome: string, seconds: number): void {
    this.#run.observe({ outcome }, seconds)
  }

  checkpoint(engine: string): void {
    this.#checkpoints.inc({ engine })
  }

  refusal(): void {
    this.#refusals.inc()
  }

  printed(bytes: number): void {
    this.#output.inc(bytes)
  }

  /** An instance is ready. @param saved seconds */
  booted(method: string, seconds: number, saved: number): void {
    this.#boots.inc({ method })
    this.#boot.observe({ method }, seconds)
    this.#saved.inc(saved)
  }

  /** One could not come from where it was to come from. */
  fellBack(reason: FallbackReason): void {
    this.#fallbacks.inc({ reason })
  }

  serviceCall(service: string, outcome: string, seconds: number): void {
    this.#serviceCalls.inc({ service, outcome })
    this.#serviceCall.observe({ service }, seconds)
  }

  request(method: string, route: string, status: number, seconds: number): void {
    this.#requests.inc({ method, route, status: String(status) })
    this.#request.observe({ route }, seconds)
  }

  /** In Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  #counter<L extends string>(name: string, help: string, labelNames: L[] = []): Counter<L> {
    return new Counter({ name: `thaw_${name}`, help, labelNames, registers: [this.#registry] })
  }

  #histogram<L extends string>(name: string, help: string, labelNames: L[] = []): Histogram<L> {
    return new Histogram({
      name: `thaw_${name}`,
      help,
      labelNames,
      buckets: SECONDS,
      registers: [this.#registry],
    })
  }
}
