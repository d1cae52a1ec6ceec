# Parley for PostgreSQL and Redis. The first stage installs and builds; the last one holds what runs and nothing else.

FROM python:3.13-slim AS build

WORKDIR /opt/parley
COPY requirements/prod.txt requirements/
RUN python -m venv --without-pip /opt/venv
# Wheels only, so that nothing is compiled.
RUN pip --python /opt/venv install --no-cache-dir --require-hashes --only-binary :all: -r requirements/prod.txt
COPY manage.py ./
COPY config config
COPY chat chat
COPY static static
COPY templates templates
# This key signs nothing.
RUN SECRET_KEY=only-while-the-image-is-being-built /opt/venv/bin/python manage.py collectstatic --noinput


FROM python:3.13-slim

ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --system --no-create-home parley
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/parley /opt/parley
WORKDIR /opt/parley
USER parley
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz/', timeout=4)"]
# Only a proxy may reach this port, because Parley trusts its forwarding headers. The proxy writes the access log.
CMD ["daphne", "-b", "0.0.0.0", "-p", "8000", "--proxy-headers", "--access-log", "/dev/null", "config.asgi:application"]
