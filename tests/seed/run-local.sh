curl --request POST \
  --url http://localhost:8080/schedulers \
  --header 'Content-Type: application/json' \
  --data '{
	"name": "scheduler-run-local",
	"game": "game-test",
	"state": "creating",
	"portRange": {
		"start": 1,
		"end": 1000
	},
	"maxSurge": "10%",
	"spec": {
		"terminationGracePeriod": "100",
		"containers": [
			{
				"name": "alpine",
				"image": "alpine",
				"imagePullPolicy": "IfNotPresent",
				"command": [
					"sh",
					"-c",
					"apk add curl && while true; do curl --request PUT {{ROOMS_API_ADDRESS}}:8070/scheduler/$MAESTRO_SCHEDULER_NAME/rooms/$MAESTRO_ROOM_ID/ping --data-raw '\''{\"status\": \"ready\",\"timestamp\": \"12312312313\"}'\'' && sleep 5; done"
				],
				"environment": [],
				"requests": {
					"memory": "100Mi",
					"cpu": "100m"
				},
				"limits": {
					"memory": "200Mi",
					"cpu": "200m"
				},
				"ports": [
					{
						"name": "port-name",
						"protocol": "tcp",
						"port": 12345
					}
				]
			}
		],
		"toleration": "",
		"affinity": ""
	},
	"forwarders": []
}'
