-- PostgreSQL alone: a deploy as one prepared call, on the product's own tables, which `library migrate` makes.
-- It writes what the product writes of a deploy for good, with its events or without, and returns the whole record.

CREATE FUNCTION entity_of(number integer) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ('00000000-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid;

CREATE FUNCTION log_event(kind text, deployment deployments, number bigint) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO events (event_id, entity_id, sequence, type, subject, nats_subject, body, created_at)
    VALUES (
        uuidv7(), deployment.entity_id, number, 'library.deployment.' || kind || '.v1',
        deployment.deployment_id::text,
        'events.deployment.' || kind || '.' || deployment.environment || '.' || deployment.entity_id,
        json_build_object('specversion', '1.0', 'source', 'library', 'sequence', number::text,
            'data', json_build_object('deployment', deployment, 'actor', deployment.deployed_by)),
        deployment.updated_at);
END;

CREATE FUNCTION deploy(number integer, target text, actor text, with_events boolean)
RETURNS deployments LANGUAGE plpgsql AS $$
DECLARE
    entity entities;
    superseded deployments;
    deployment deployments;
    moment timestamptz;
BEGIN
    SELECT * INTO STRICT entity FROM entities
    WHERE entity_id = entity_of(number) AND deleted_at IS NULL FOR UPDATE;
    moment := clock_timestamp();
    UPDATE deployments SET status = 'inactive', updated_at = moment, deactivated_at = moment
    WHERE entity_id = entity.entity_id AND environment = target AND status = 'active'
    RETURNING * INTO superseded;
    IF FOUND THEN
        entity.event_sequence := entity.event_sequence + 1;
        IF with_events THEN
            PERFORM log_event('superseded', superseded, entity.event_sequence);
        END IF;
    END IF;
    INSERT INTO deployments (
        deployment_id, entity_id, entity_name, version, environment, config_snapshot, parameters_snapshot, status,
        deployed_at, deployed_by, deployment_method, previous_deployment_id, health_checks,
        deployment_duration_ms, validation_results, warnings, created_at, updated_at, activated_at)
    VALUES (
        uuidv7(), entity.entity_id, entity.name, entity.version, target, entity.config, entity.parameters, 'active',
        moment, actor, 'sql', superseded.deployment_id, '[]', 0, '{"passed": true}', '[]', moment, moment, moment)
    RETURNING * INTO deployment;
    UPDATE entities SET status = 'deployed', event_sequence = entity.event_sequence + 1, deployed_at = moment,
        deployed_by = actor, deployment_config = entity.config, updated_at = moment
    WHERE entity_id = entity.entity_id;
    IF with_events THEN
        PERFORM log_event('completed', deployment, entity.event_sequence + 1);
    END IF;
    RETURN deployment;
END $$;
