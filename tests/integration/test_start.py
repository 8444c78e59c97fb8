"""A worker that starts before JetStream does."""

import subprocess

from tests.system import Process, free_port


def test_a_worker_whose_jetstream_does_not_answer_starts_over_by_itself(own_system, tmp_path):
    own_system.start_servers()
    client, here, there = (free_port() for _ in range(3))
    lone = tmp_path / "lone.conf"
    lone.write_text(f"""
        server_name: lone
        listen: "127.0.0.1:{client}"
        max_payload: 8MB
        jetstream {{ store_dir: "{tmp_path}" }}
        cluster {{ name: forming, listen: "127.0.0.1:{here}", routes: ["nats://127.0.0.1:{there}"] }}
    """)
    server = subprocess.Popen([own_system.nats._program, "-c", str(lone)], stderr=subprocess.DEVNULL)
    try:
        worker = Process(
            "worker", {**own_system.environment, "LIBRARY_NATS_URL": f"nats://127.0.0.1:{client}"}
        )
        own_system.workers.append(worker)

        worker.wait_for_line("starting over")
        worker.lines.clear()
        worker.wait_for_line("starting over")

        assert not [line for line in worker.lines if "Traceback" in line]
    finally:
        server.kill()
        server.wait()
