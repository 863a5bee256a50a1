curl --request POST \
  --url https://<maestro-url>/schedulers \
  --header 'Content-Type: application/json' \
  --header "Authorization: Basic <user:pass in base64>" \
  --data '{
	"name": "<your-scheduler-name-here>",
	"game": "<your-game-name-here>",
    "roomsReplicas": 1,
	"portRange": {
            "start": 20000,
            "end": 21000
	},
	"maxSurge": "10%",
	"spec": {
            "terminationGracePeriod": "100",
            "containers": [
                {
                    "name": "game-container",
                    "image": "<your-game-image-here>",
                    "imagePullPolicy": "IfNotPresent",
                    "command": [
                        <required-commands-for-game-image>
                        "sh example.sh"
                    ],
                    "environment": [
                        <required-commands-for-game-image>
                        {
                            "name": "EXAMPLE_NAME",
                            "value": "EXAMPLE_VALUE"
                        }
                    ],
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
            ]
	},
	"forwarders": []
}'
