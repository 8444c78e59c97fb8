// Written by docs/typescript.py from the contract; `make documents` writes it anew.
// Times are RFC 3339 in UTC; ids are UUIDs; replies and events may get more fields.

/** What was active at a time that is past. */
export interface AsOfRequest {
  at: string;
  environment?: "development" | "testing" | "staging" | "production" | null;
  entity_id?: string | null;
  page?: number;
  page_size?: number;
  cursor?: string | null;
}

/** An event (CloudEvents 1.0). `sequence` is a decimal string, contiguous from 1 for each entity. */
export interface CloudEvent {
  specversion: "1.0";
  id: string;
  source: string;
  type: string;
  subject: string;
  time: string;
  datacontenttype: string;
  correlationid: string;
  sequence?: string | null;
  traceparent?: string | null;
  tracestate?: string | null;
  data: EventData;
}

/** One part: `up`, `degraded` or `down`, and its figures beside it. */
export interface ComponentStatus {
  status: string;
}

/** An agent's word on what is deploying: it runs, or it does not, and why. */
export interface ConfirmRequest {
  deployment_id: string;
  agent: string;
  outcome: "active" | "failed";
  error?: string | null;
  details?: Record<string, unknown> | null;
}

/** An agent beside what is active. */
export interface Consumer {
  entity_id: string;
  agent: string;
  deployment_id: string | null;
  applied_sequence: string | null;
  active_sequence: string | null;
  behind_since: string | null;
}

/** The agents of an environment, by entity and name. */
export interface Convergence {
  consumers: Array<Consumer>;
  next_cursor?: string | null;
}

/** Which agents of an environment run what is active there. */
export interface ConvergenceRequest {
  environment: "development" | "testing" | "staging" | "production";
  page_size?: number | null;
  cursor?: string | null;
}

/** All environments, as they were at a time. */
export interface Delivery {
  measured_at: string;
  window_days: number;
  environments: Array<EnvironmentDelivery>;
}

/** Another entity that must be active in the same environment, at a version that `version` admits. */
export interface Dependency {
  name: string;
  version?: string | null;
}

/** A dependency, as an entity shows it. */
export interface DependencyView {
  name: string;
  version?: string | null;
}

/** Put an entity, as it is now, into an environment. */
export interface DeployRequest {
  entity_id: string;
  environment: "development" | "testing" | "staging" | "production";
  deployed_by: string;
  deployment_method?: string | null;
  config_override?: Record<string, unknown> | null;
  parameters_override?: Record<string, unknown> | null;
  override_strategy?: "replace" | "merge" | null;
  expected_version?: string | null;
  reason?: string | null;
  wait?: boolean | null;
  supersede_pending?: boolean | null;
  override_quarantine?: boolean | null;
}

/** A deployment. `deployed_at` is when it was accepted and never changes. */
export interface Deployment {
  deployment_id: string;
  entity_id: string;
  entity_name: string;
  version: string;
  environment: "development" | "testing" | "staging" | "production";
  config_snapshot: Record<string, unknown>;
  parameters_snapshot: Record<string, unknown>;
  status: "pending" | "deploying" | "active" | "inactive" | "rolled_back" | "failed";
  deployed_at: string;
  deployed_by: string;
  deployment_method: string;
  reason: string | null;
  rolled_back_at: string | null;
  rolled_back_by: string | null;
  rollback_reason: string | null;
  previous_deployment_id: string | null;
  health_checks: Array<Record<string, unknown>>;
  last_health_check: string | null;
  error_logs: string | null;
  deployment_duration_seconds: number | null;
  deployment_duration_ms: number | null;
  validation_results: ValidationResults;
  warnings: Array<string>;
  confirm_by: string | null;
  created_at: string;
  updated_at: string;
}

/** Ask for a deployment. */
export interface DeploymentGet {
  deployment_id: string;
}

/** A page of deployments, newest `deployed_at` first, ties by id descending. */
export interface DeploymentList {
  deployments: Array<Deployment>;
  total: number;
  total_exact: boolean;
  page: number;
  page_size: number;
  next_cursor: string | null;
}

/** Deployments by entity, environment and status; newest first. */
export interface DeploymentListRequest {
  page?: number;
  page_size?: number;
  cursor?: string | null;
  entity_id?: string | null;
  environment?: "development" | "testing" | "staging" | "production" | null;
  status?: "pending" | "deploying" | "active" | "inactive" | "rolled_back" | "failed" | null;
}

/** What a deploy would do. */
export interface DeploymentPlan {
  validation: DeploymentValidation;
  replaces: string | null;
  version: string;
  config_snapshot: Record<string, unknown>;
  parameters_snapshot: Record<string, unknown>;
  changes: Array<Record<string, unknown>>;
}

/** What a validation found; `checks` holds one verdict a check. */
export interface DeploymentValidation {
  passed: boolean;
  checks: Record<string, unknown>;
  errors: Array<string>;
  warnings: Array<string>;
}

/** A request that asks for nothing in particular; its body may be empty. */
export type Empty = Record<string, never>;

/** An entity. */
export interface Entity {
  entity_id: string;
  name: string;
  type: string;
  version: string;
  created_by: string | null;
  description: string | null;
  config: Record<string, unknown>;
  parameters: Record<string, unknown>;
  status: "draft" | "registered" | "validated" | "deployed" | "active" | "deprecated" | "archived";
  declared_status: "draft" | "registered" | "validated" | "deployed" | "active" | "deprecated" | "archived";
  health_status: "unknown" | "healthy" | "degraded" | "unhealthy";
  tags: Array<string>;
  dependencies: Array<DependencyView>;
  revision: number;
  deployed_at: string | null;
  deployed_by: string | null;
  deployment_config: Record<string, unknown> | null;
  created_at: string;
  updated_at: string;
  deleted_at: string | null;
}

/** A new entity. */
export interface EntityCreate {
  name: string;
  type: string;
  version: string;
  created_by?: string | null;
  description?: string | null;
  config?: Record<string, unknown> | null;
  parameters?: Record<string, unknown> | null;
  status?: "draft" | "registered" | "validated" | "deployed" | "active" | "deprecated" | "archived" | null;
  health_status?: "unknown" | "healthy" | "degraded" | "unhealthy" | null;
  tags?: Array<string> | null;
  dependencies?: Array<Dependency> | null;
}

/** Delete an entity that is deployed nowhere. */
export interface EntityDelete {
  entity_id: string;
  deleted_by: string;
}

/** An entity's deployments; newest first. */
export interface EntityDeploymentsRequest {
  entity_id: string;
  page?: number;
  page_size?: number;
  cursor?: string | null;
  environment?: "development" | "testing" | "staging" | "production" | null;
  status?: "pending" | "deploying" | "active" | "inactive" | "rolled_back" | "failed" | null;
}

/** Ask for an entity. */
export interface EntityGet {
  entity_id: string;
}

/** A page of entities, newest `created_at` first, ties by id descending. */
export interface EntityList {
  entities: Array<Entity>;
  total: number;
  total_exact: boolean;
  page: number;
  page_size: number;
  next_cursor: string | null;
}

/** Entities by type, status and exact name; newest first. */
export interface EntityListRequest {
  page?: number;
  page_size?: number;
  cursor?: string | null;
  entity_id?: string | null;
  environment?: "development" | "testing" | "staging" | "production" | null;
  type?: string | null;
  status?: "draft" | "registered" | "validated" | "deployed" | "active" | "deprecated" | "archived" | null;
  name?: string | null;
}

/** Changes to an entity; what is left out or null stays as it is. */
export interface EntityUpdate {
  entity_id: string;
  expected_revision?: number | null;
  updated_by?: string | null;
  name?: string | null;
  type?: string | null;
  version?: string | null;
  description?: string | null;
  config?: Record<string, unknown> | null;
  parameters?: Record<string, unknown> | null;
  status?: "draft" | "registered" | "validated" | "deployed" | "active" | "deprecated" | "archived" | null;
  health_status?: "unknown" | "healthy" | "degraded" | "unhealthy" | null;
  tags?: Array<string> | null;
  dependencies?: Array<Dependency> | null;
}

/** An environment and its settings; times in seconds. */
export interface Environment {
  environment: "development" | "testing" | "staging" | "production";
  activation: "instant" | "confirmed";
  confirm_timeout_s: number;
  auto_rollback: boolean;
  unhealthy_after: number;
  concurrency: "reject" | "supersede" | "queue";
  require_status: Array<"draft" | "registered" | "validated" | "deployed" | "active" | "deprecated" | "archived">;
}

/** An environment's figures; times in seconds, medians; None where nothing tells. */
export interface EnvironmentDelivery {
  environment: "development" | "testing" | "staging" | "production";
  active: number;
  waiting: number;
  deployments_per_day: number;
  lead_time_seconds: number | null;
  change_failure_ratio: number | null;
  time_to_restore_seconds: number | null;
}

/** All environments. */
export interface EnvironmentList {
  environments: Array<Environment>;
}

/** Changes to an environment's settings; what is left out or null stays as it is. */
export interface EnvironmentSet {
  environment: "development" | "testing" | "staging" | "production";
  updated_by?: string | null;
  activation?: "instant" | "confirmed" | null;
  confirm_timeout_s?: number | null;
  auto_rollback?: boolean | null;
  unhealthy_after?: number | null;
  concurrency?: "reject" | "supersede" | "queue" | null;
  require_status?: Array<"draft" | "registered" | "validated" | "deployed" | "active" | "deprecated" | "archived"> | null;
}

/** What an event is about: one of the three records, who did it, and why. */
export interface EventData {
  actor?: string | null;
  reason?: string | null;
  deployment?: Deployment | EventDeployment | null;
  entity?: Entity | null;
  environment?: Environment | null;
  target_deployment_id?: string | null;
  report?: Record<string, unknown> | null;
  reports?: Array<Record<string, unknown>> | null;
  action?: "none" | "rollback" | null;
  details?: Record<string, unknown> | null;
  command?: "deploy" | "rollback" | null;
  body?: unknown;
  problem?: Record<string, unknown> | null;
}

/** A deployment without what is large: the other fields of `Deployment` are there, too. */
export interface EventDeployment {
  deployment_id: string;
  entity_id: string;
  entity_name: string;
  version: string;
  environment: "development" | "testing" | "staging" | "production";
  status: "pending" | "deploying" | "active" | "inactive" | "rolled_back" | "failed";
}

/** A page of a deployment's history, oldest first. */
export interface EventList {
  events: Array<CloudEvent>;
  total: number;
  next_cursor: string | null;
}

/** One fault of a request; `field` is its dotted path, `body` for the whole. */
export interface FieldError {
  field: string;
  message: string;
}

/** How a deployment is doing. */
export interface HealthReport {
  deployment_id: string;
  reported_by: string;
  status: "healthy" | "degraded" | "unhealthy";
  details?: Record<string, unknown> | null;
}

/** A deployment's events, oldest first. */
export interface HistoryRequest {
  deployment_id: string;
  page_size?: number;
  cursor?: string | null;
}

/** A page of the matrix; `next_cursor` is None on the last. */
export interface Matrix {
  rows: Array<MatrixRow>;
  next_cursor: string | null;
}

/** A page of entities by name: those from `from_name` on, or behind a cursor. */
export interface MatrixRequest {
  from_name?: string | null;
  page_size?: number;
  cursor?: string | null;
}

/** An entity, with the places where something is active or on its way. */
export interface MatrixRow {
  entity_id: string;
  name: string;
  type: string;
  version: string;
  status: string;
  health_status: string;
  places: Array<Place>;
}

/** An entity in an environment: what is active, what is deploying, and how many wait behind it. */
export interface Place {
  environment: "development" | "testing" | "staging" | "production";
  deployment_id: string | null;
  version: string | null;
  active_since: string | null;
  unhealthy_reports: number;
  deploying_id: string | null;
  deploying_version: string | null;
  pending: number;
}

/** The one body of every refusal; extensions of a code stand beside these members. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: "invalid_request" | "payload_too_large" | "unauthenticated" | "forbidden" | "entity_not_found" | "deployment_not_found" | "validation_failed" | "no_rollback_target" | "invalid_rollback_target" | "deployment_not_active" | "deployment_in_progress" | "version_mismatch" | "revision_conflict" | "entity_name_taken" | "entity_in_use" | "dependency_in_use" | "quarantined" | "idempotency_key_reused" | "deadline_exceeded" | "no_answer" | "busy" | "unavailable" | "internal_error" | "not_found" | "method_not_allowed";
  request_id: string;
  errors?: Array<FieldError> | null;
}

/** Let it be deployed there again. */
export interface QuarantineLift {
  quarantine_id: string;
  lifted_by: string;
  reason: string;
}

/** A page of what is in quarantine, newest first. */
export interface QuarantineList {
  quarantined: Array<Quarantined>;
  total: number;
  total_exact: boolean;
  page: number;
  page_size: number;
  next_cursor: string | null;
}

/** What is in quarantine, or was; newest first. */
export interface QuarantineListRequest {
  page?: number;
  page_size?: number;
  cursor?: string | null;
  entity_id?: string | null;
  environment?: "development" | "testing" | "staging" | "production" | null;
  status?: "in_force" | "lifted" | null;
}

/** A version with a snapshot that went back for its health. */
export interface Quarantined {
  quarantine_id: string;
  entity_id: string;
  environment: "development" | "testing" | "staging" | "production";
  version: string;
  snapshot_digest: string;
  deployment_id: string;
  since: string;
  reason: string;
  lifted_at: string | null;
  lifted_by: string | null;
  lift_reason: string | null;
}

/** End an active deployment with nothing in its place. */
export interface RetireRequest {
  deployment_id: string;
  retired_by: string;
  reason: string;
  force?: boolean | null;
}

/** Take an active deployment back; without a target, to what was active most recently before it. */
export interface RollbackRequest {
  deployment_id: string;
  reason: string;
  rolled_back_by: string;
  target_deployment_id?: string | null;
}

/** The parts the product stands on. */
export interface Status {
  nats: ComponentStatus;
  database: ComponentStatus;
  worker: ComponentStatus;
  outbox: ComponentStatus;
}

/** Both validations; `post` is null until it is active, `passed` is what is known so far. */
export interface ValidationResults {
  passed: boolean;
  pre: DeploymentValidation;
  post: DeploymentValidation | null;
}

/** What each subject takes and answers. */
export interface Endpoints {
  /** Deploy an entity to an environment */
  "library.deploy.request": { request: DeployRequest; reply: Deployment };
  /** Roll an active deployment back */
  "library.deploy.rollback": { request: RollbackRequest; reply: Deployment };
  /** Plan a deploy without doing it */
  "library.deploy.validate": { request: DeployRequest; reply: DeploymentPlan };
  /** Get a deployment */
  "library.deploy.get": { request: DeploymentGet; reply: Deployment };
  /** List deployments, newest first */
  "library.deploy.list": { request: DeploymentListRequest; reply: DeploymentList };
  /** A deployment's events, oldest first */
  "library.deploy.history": { request: HistoryRequest; reply: EventList };
  /** Confirm or refuse what is deploying */
  "library.deploy.confirm": { request: ConfirmRequest; reply: Deployment };
  /** Report how a deployment is doing */
  "library.deploy.health": { request: HealthReport; reply: Deployment };
  /** End an active deployment with nothing in its place */
  "library.deploy.retire": { request: RetireRequest; reply: Deployment };
  /** List the environments and their settings */
  "library.environment.list": { request: Empty; reply: EnvironmentList };
  /** Change an environment's settings */
  "library.environment.set": { request: EnvironmentSet; reply: Environment };
  /** Register an entity */
  "library.entity.create": { request: EntityCreate; reply: Entity };
  /** Get an entity */
  "library.entity.get": { request: EntityGet; reply: Entity };
  /** List entities, newest first */
  "library.entity.list": { request: EntityListRequest; reply: EntityList };
  /** Change an entity */
  "library.entity.update": { request: EntityUpdate; reply: Entity };
  /** Delete an entity that is deployed nowhere */
  "library.entity.delete": { request: EntityDelete; reply: Entity };
  /** An entity's deployments, newest first */
  "library.entity.deployments": { request: EntityDeploymentsRequest; reply: DeploymentList };
  /** What was active at a time */
  "library.deploy.as_of": { request: AsOfRequest; reply: DeploymentList };
  /** Which agents run what is active, and which are behind */
  "library.deploy.convergence": { request: ConvergenceRequest; reply: Convergence };
  /** List what is in quarantine, newest first */
  "library.quarantine.list": { request: QuarantineListRequest; reply: QuarantineList };
  /** Let what is in quarantine be deployed again */
  "library.quarantine.lift": { request: QuarantineLift; reply: Quarantined };
  /** What runs where: entities by name, with what is active or on its way in each environment */
  "library.deploy.matrix": { request: MatrixRequest; reply: Matrix };
  /** How delivery goes in each environment: the four figures of DORA */
  "library.delivery.get": { request: Empty; reply: Delivery };
  /** The state of NATS, database, worker and outbox */
  "library.status.get": { request: Empty; reply: Status };
}
