# The product alone: no test tools, no embedded servers. `docker build -t library-worker .`
FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY requirements.lock requirements-runtime.lock ./
RUN python -m venv tools \
 && tools/bin/pip install --require-hashes --only-binary :all: -r requirements.lock \
 && python -m venv /opt/library \
 && /opt/library/bin/pip install --require-hashes --only-binary :all: -r requirements-runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY contracts contracts
COPY worker worker
RUN tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
 && /opt/library/bin/pip install --no-deps wheels/*.whl

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home library
COPY --from=build /opt/library /opt/library
ENV PATH=/opt/library/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
EXPOSE 8350
ENTRYPOINT ["library"]
CMD ["worker"]
